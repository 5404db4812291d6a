/**
 * The directories of the layer that is being unpacked. The layer's tree starts empty and nobody else writes to it, so
 * this table knows every directory and symbolic link in it: a parent is found without a system call, and no path is
 * ever resolved by the kernel through anything but directories made here. Files are not remembered (O_EXCL finds a
 * second one), so that memory follows the directories.
 *
 * A directory that the tar does not list, but has entries in, is implicit: it gets its metadata from the layers below.
 */

import { IntegrityError, isErrno } from "../../src/errors.ts";
import { baseName, childPath, display, type LayerPath, parentPath, ROOT } from "../../src/paths.ts";
import { close, mkdirAt, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openAt } from "../../src/sys/file.ts";
import type { TarEntry } from "../tar/entry.ts";

/** A directory made by this layer. */
export interface LayerDirectory {
  readonly path: LayerPath;
  readonly parent: LayerDirectory | null;
  /** Of its own member of the tar; null while it is implicit. */
  metadata: DirectoryMetadata | null;
  /** Hides what the layers below have in it. */
  opaque: boolean;
  /** It is deleted below and made again here: what was below has nothing to do with it. Opaque too. */
  replaced: boolean;
  /** -1 while it is not open. */
  fd: number;
}

/** What is left to be restored of a directory: not all of its member, since every directory's is kept to the end. */
export type DirectoryMetadata = Pick<TarEntry, "uid" | "gid" | "mode" | "mtimeNs" | "xattrs">;

/** Descriptors kept between two members. Tars are written depth first, so a few would do. */
const MAX_OPEN = 200;
/** More than one member adds to those, so that nothing in use is closed. */
const MAX_OPEN_AT_ALL = MAX_OPEN + 16;
/** As the kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;
/** Nobody else may look in before the metadata is restored, at the end. */
const UNFINISHED_MODE = 0o700;

/** See the head of this file. Disposing closes what is open. */
export class LayerDirectories implements Disposable {
  readonly root: LayerDirectory;
  readonly #directories = new Map<LayerPath, LayerDirectory>();
  readonly #symlinks = new Map<LayerPath, string>();
  readonly #open: LayerDirectory[] = [];
  #lastMetadata: DirectoryMetadata | null = null;

  /** `rootFd` is an empty directory; the caller closes it. */
  constructor(rootFd: number) {
    this.root = { path: ROOT, parent: null, metadata: null, opaque: false, replaced: false, fd: rootFd };
    this.#directories.set(ROOT, this.root);
  }

  [Symbol.dispose](): void {
    for (const directory of this.#open) if (directory.fd >= 0) close(directory.fd);
    this.#open.length = 0;
  }

  /** Closes descriptors that were not opened lately. Call it between two members: those in use stay valid till then. */
  trim(): void {
    if (this.#open.length <= MAX_OPEN) return;
    for (const directory of this.#open.splice(0, MAX_OPEN / 2)) {
      close(directory.fd);
      directory.fd = -1;
    }
  }

  /** Every directory, parents before children. */
  all(): Iterable<LayerDirectory> {
    return this.#directories.values();
  }

  get(path: LayerPath): LayerDirectory | undefined {
    return this.#directories.get(path);
  }

  /** Remembers a symbolic link made at `path`. */
  addSymlink(path: LayerPath, target: string): void {
    this.#symlinks.set(path, target);
  }

  /**
   * The directory in which the member at `path` belongs, made (implicit) if it is not there. Symbolic links of this
   * layer on the way are followed inside its root.
   * @throws {IntegrityError} `ERR_LAYER_PATH` if the way leads through a file, out of the root, or in circles
   */
  parentOf(path: LayerPath): LayerDirectory {
    const parent = parentPath(path);
    return (
      this.#directories.get(parent) ??
      this.#resolve(parent, path, (directory, name) => this.#implicit(directory, name, path)) ??
      this.root
    );
  }

  /** The directory of this layer in which `path` is, resolved likewise; null if the layer has none. */
  findParentOf(path: LayerPath): LayerDirectory | null {
    const parent = parentPath(path);
    return this.#directories.get(parent) ?? this.#resolve(parent, path, () => null);
  }

  /**
   * Makes the directory at `name` in `parent`, or finds it there.
   * @throws {IntegrityError} `ERR_LAYER_DUPLICATE` if the layer has something else of that name
   */
  ensure(parent: LayerDirectory, name: string, metadata: DirectoryMetadata | null): LayerDirectory {
    const path = childPath(parent.path, name);
    const known = this.#directories.get(path);
    if (known !== undefined) {
      if (metadata !== null) known.metadata = this.#compact(metadata); // a directory over a directory replaces its metadata
      return known;
    }
    const { fd, prefix } = this.#locate(parent);
    try {
      mkdirAt(fd, prefix + name, UNFINISHED_MODE);
    } catch (error) {
      if (isErrno(error, "EEXIST")) throw duplicate(path);
      throw error;
    }
    const kept = metadata === null ? null : this.#compact(metadata);
    const made: LayerDirectory = { path, parent, metadata: kept, opaque: false, replaced: false, fd: -1 };
    this.#directories.set(path, made);
    return made;
  }

  /** Without the rest of the member. Neighbours mostly have the same owner, mode and time: they share one object. */
  #compact({ uid, gid, mode, mtimeNs, xattrs }: DirectoryMetadata): DirectoryMetadata {
    const last = this.#lastMetadata;
    const isSame = last !== null && last.uid === uid && last.gid === gid && last.mode === mode;
    if (isSame && last.mtimeNs === mtimeNs && last.xattrs === xattrs) return last;
    this.#lastMetadata = { uid, gid, mode, mtimeNs, xattrs };
    return this.#lastMetadata;
  }

  /** An open descriptor of `directory`, valid until `trim`, and until many others are asked for. */
  fdOf(directory: LayerDirectory): number {
    if (directory.fd < 0) {
      if (this.#open.length >= MAX_OPEN_AT_ALL) this.trim();
      const { fd, prefix } = this.#locate(directory);
      directory.fd = openAt(fd, prefix.slice(0, -1), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      this.#open.push(directory);
    }
    return directory.fd;
  }

  /** The nearest open directory at or above, and the way down from it: only through directories made here. */
  #locate(directory: LayerDirectory): { readonly fd: number; readonly prefix: string } {
    let prefix = "";
    let at = directory;
    while (at.fd < 0 && at.parent !== null) {
      prefix = `${baseName(at.path)}/${prefix}`;
      at = at.parent;
    }
    return { fd: at.fd, prefix };
  }

  #resolve(
    wanted: LayerPath,
    member: LayerPath,
    missing: (parent: LayerDirectory, name: string) => LayerDirectory | null,
  ): LayerDirectory | null {
    let directory: LayerDirectory = this.root;
    let symlinks = 0;
    const names = wanted.split("/").reverse(); // the next one is last
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (directory.parent === null) throw escapes(member);
        directory = directory.parent;
        continue;
      }
      const path = childPath(directory.path, name);
      const target = this.#symlinks.get(path);
      if (target === undefined) {
        const next: LayerDirectory | null = this.#directories.get(path) ?? missing(directory, name);
        if (next === null) return null;
        directory = next;
        continue;
      }
      symlinks += 1;
      if (symlinks > MAX_SYMLINKS) throw badPath(member, `"${display(path)}" is a symbolic link that leads in circles`);
      if (target.startsWith("/")) directory = this.root;
      names.push(...target.split("/").reverse());
    }
    return directory;
  }

  #implicit(parent: LayerDirectory, name: string, member: LayerPath): LayerDirectory {
    try {
      return this.ensure(parent, name, null);
    } catch (error) {
      if (!(error instanceof IntegrityError)) throw error;
      throw badPath(member, `"${display(childPath(parent.path, name))}" is not a directory`);
    }
  }
}

/** The error for a second member of one path. */
export function duplicate(path: LayerPath): IntegrityError {
  const shown = display(path);
  return new IntegrityError(
    "ERR_LAYER_DUPLICATE",
    `Cannot unpack "${shown}": the layer has another entry of that path, and they contradict each other`,
    { data: { path: shown } },
  );
}

function escapes(member: LayerPath): IntegrityError {
  return badPath(member, "a symbolic link on the way leads out of the root");
}

/** The error for a member whose path cannot be used. */
export function badPath(member: LayerPath, why: string): IntegrityError {
  const path = display(member);
  return new IntegrityError("ERR_LAYER_PATH", `Cannot unpack "${path}": ${why}`, { data: { path } });
}
