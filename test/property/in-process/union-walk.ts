/**
 * From paths to nodes of the union, as the kernel does it between a system call and a file system (fs/namei.c). What was
 * looked up is held, as the kernel's caches hold it, until they are dropped.
 */

import { lookup } from "../../../fuse/union/lookup.ts";
import type { Node } from "../../../fuse/union/node.ts";
import type { Union } from "../../../fuse/union/union.ts";
import { PosixError } from "../../../src/errors.ts";
import { readlinkAt, S_IFLNK, S_IFREG } from "../../../src/sys/file.ts";
import { join, type Path } from "../model/tree.ts";
import { walk } from "../model/walk.ts";

const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ENXIO: 6,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ESPIPE: 29,
  ENAMETOOLONG: 36,
  ENOTEMPTY: 39,
  ELOOP: 40,
} as const;

export type Errno = keyof typeof ERRNO;

export function fail(code: Errno): never {
  throw new PosixError(ERRNO[code], "call");
}

/** A name in a directory, and what has it. */
export interface Place {
  readonly parent: Node;
  readonly name: string;
  readonly path: Path;
  readonly node: Node | null;
}

export class UnionWalk {
  readonly union: Union;
  readonly #root: Path;
  readonly #held: Node[] = [];

  /** `root`: the directory of the union that paths start at. */
  constructor(union: Union, root: Path) {
    this.union = union;
    this.#root = root;
  }

  /** Takes nodes whose references were given to the caller. */
  hold(given: readonly Node[]): void {
    this.#held.push(...given);
  }

  /** Gives back all that was looked up: what is asked for next is found anew. */
  dropCaches(): void {
    for (const { id } of this.#held.splice(0)) this.union.nodes.forget(id, 1);
  }

  /** @throws PosixError `ENOENT`, also for a symbolic link on the way */
  nodeAt(path: Path): Node {
    let node = this.union.root;
    for (const name of join(this.#root, path).split("/")) {
      if (name !== "") node = this.#child(node, name) ?? fail("ENOENT");
    }
    return node;
  }

  find(path: Path, follow: boolean): Place {
    const look = (each: Path): { kind: string; content: string } | null => {
      const node = this.#nodeOrNull(each);
      return node === null ? null : { kind: kindOf(node), content: node.type === S_IFLNK ? this.target(node) : "" };
    };
    const spot = walk(look, path, follow);
    if (typeof spot === "string") fail(spot as Errno);
    const name = spot.path.slice(spot.path.lastIndexOf("/") + 1);
    return { parent: this.nodeAt(spot.parent), name, path: spot.path, node: this.#nodeOrNull(spot.path) };
  }

  existing(path: Path, follow: boolean): Node {
    return this.find(path, follow).node ?? fail("ENOENT");
  }

  /** @throws PosixError `EISDIR`, or `onOther` for what is neither a directory nor a regular file */
  regularFile(path: Path, onOther: Errno): Node {
    const node = this.existing(path, true);
    if (node.isDirectory) fail("EISDIR");
    return node.type === S_IFREG ? node : fail(onOther);
  }

  /** Of a symbolic link. */
  target(node: Node): string {
    const { fd, path } = this.union.placeOf(node);
    return readlinkAt(fd, path ?? "");
  }

  /** What is at a path without symbolic links on the way; null if nothing is. */
  #nodeOrNull(path: Path): Node | null {
    const slash = path.lastIndexOf("/");
    const parent = slash < 0 ? this.nodeAt("") : this.#nodeOrNull(path.slice(0, slash));
    return parent === null ? null : this.#child(parent, path.slice(slash + 1));
  }

  #child(parent: Node, name: string): Node | null {
    const node = lookup(this.union, parent, name)?.node ?? null;
    if (node === null) return null;
    node.lookups += 1;
    this.#held.push(node);
    return node;
  }
}

function kindOf(node: Node): string {
  return node.isDirectory ? "directory" : node.type === S_IFLNK ? "symlink" : "other";
}
