/**
 * From paths to nodes, for a library that never says that it has forgotten a file: a number of nodes is kept, those that were
 * asked for last. It hides open files instead of removing them (libfuse 2.9, fuse.c, `hide_node`); here they have gone, and
 * what they are called then leads to what is left of them.
 */

import { PosixError } from "../../src/errors.ts";
import { ERRNO } from "../union/errno.ts";
import { lookupNode } from "../union/lookup.ts";
import type { Node } from "../union/node.ts";
import type { Union } from "../union/union.ts";

/** A number of the library's own, then how many it has hidden. */
const HIDDEN_NAME = /^\.fuse_hidden[0-9a-f]{8}([0-9a-f]{8})$/;
/** So many names it tries before it gives up. */
const MOST_TRIED = 64;

/** Where a name is, or is to be. */
export interface Spot {
  readonly parent: Node;
  readonly name: string;
}

/** Paths are byte strings that begin with "/". */
export class PathNodes {
  readonly #union: Union;
  readonly #mostRecent: number;
  readonly #recent = new Set<Node>();
  readonly #hidden = new Map<string, Node>();
  #lastHidden = 0;

  constructor(union: Union, mostRecent: number) {
    this.#union = union;
    this.#mostRecent = mostRecent;
  }

  /** What is at a path, or was there and is hidden. @throws PosixError `ENOENT`, and as `lookup` */
  at(path: string): Node {
    return this.hidden(path.slice(path.lastIndexOf("/") + 1)) ?? this.#find(path);
  }

  /** The directory and the name that a path ends in. @throws PosixError as `at`, for the directory */
  spot(path: string): Spot {
    const end = path.lastIndexOf("/");
    return { parent: this.#find(path.slice(0, Math.max(1, end))), name: path.slice(end + 1) };
  }

  /** What has the name; null if nothing has. @throws PosixError as `lookup` */
  child({ parent, name }: Spot): Node | null {
    const node = lookupNode(this.#union, parent, name);
    return node === null ? null : this.remember(node);
  }

  #find(path: string): Node {
    let node = this.#union.root;
    for (const name of path.split("/")) {
      if (name === "") continue;
      const child = lookupNode(this.#union, node, name);
      if (child === null) {
        this.remember(node);
        throw new PosixError(ERRNO.ENOENT, "lookup");
      }
      node = child;
    }
    return this.remember(node);
  }

  /** Keeps a node until enough others were asked for. The directories above it stay with it. */
  remember(node: Node): Node {
    if (this.#recent.delete(node)) {
      this.#recent.add(node);
      return node;
    }
    node.lookups += 1;
    this.#recent.add(node);
    const [oldest] = this.#recent;
    if (this.#recent.size > this.#mostRecent && oldest !== undefined) this.#forget(oldest);
    return node;
  }

  /** A file without a name is kept for nobody who does not have it open. */
  forgetIfGone(node: Node): void {
    if (node.isOrphan) this.#forget(node);
  }

  #forget(node: Node): void {
    if (this.#recent.delete(node)) this.#union.nodes.forget(node.id, 1);
  }

  /**
   * True if a rename is the library's way of removing an open file: to the name that it has next for that, in the same
   * directory.
   */
  isHiding(node: Node, from: Spot, to: Spot): boolean {
    const count = Number.parseInt(HIDDEN_NAME.exec(to.name)?.[1] ?? "0", 16);
    const isNext = count > this.#lastHidden && count <= this.#lastHidden + MOST_TRIED;
    return isNext && node.opens > 0 && from.parent === to.parent;
  }

  /** From now on `name` leads to a node, wherever it is asked for. */
  hide(name: string, node: Node): void {
    this.#lastHidden = Number.parseInt(HIDDEN_NAME.exec(name)?.[1] ?? "0", 16);
    this.#hidden.set(name, node);
    node.lookups += 1;
  }

  hidden(name: string): Node | undefined {
    return this.#hidden.get(name);
  }

  /** The names by which a node is hidden lead nowhere any more. */
  revealAll(node: Node): void {
    for (const [name, hidden] of this.#hidden) if (hidden === node) this.reveal(name);
  }

  /** `name` leads nowhere any more. */
  reveal(name: string): void {
    const node = this.#hidden.get(name);
    if (node === undefined) return;
    this.#hidden.delete(name);
    this.forgetIfGone(node);
    this.#union.nodes.forget(node.id, 1);
  }
}
