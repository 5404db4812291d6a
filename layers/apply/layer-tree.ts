/**
 * The tree of a layer that has been unpacked and is being finished. Whoever made the layer chose its symbolic links, so
 * the kernel resolves no path in it: directories are opened one name at a time, none of them through a symbolic link,
 * and everything is done by name in one of them. That also keeps paths short: those of a layer may be as long as
 * PATH_MAX.
 */

import { isErrno, PosixError } from "../../src/errors.ts";
import { type LayerForm, NATIVE } from "../../src/overlay/layer-form.ts";
import { setOpaque } from "../../src/overlay/opaque.ts";
import { backingMode, formatOwnership } from "../../src/overlay/override-stat.ts";
import { baseName, childPath, type HostPath, hostPath, type LayerPath, parentPath, ROOT } from "../../src/paths.ts";
import { type DirectoryEntry, listDirectory } from "../../src/sys/directory.ts";
import * as file from "../../src/sys/file.ts";
import { type Stat, statAtOrNull } from "../../src/sys/stat.ts";
import { setXattr, type XattrTarget, xattrTargetAt } from "../../src/sys/xattr.ts";
import { badPath } from "./directories.ts";
import { putWhiteout } from "./put-whiteout.ts";

const ENOENT = 2;
/** Directories kept open. What is finished after one another lies side by side. */
const MAX_OPEN = 32;

/** A name in an open directory. The descriptor is valid until a few other places have been asked for. */
export interface Place {
  readonly fd: number;
  readonly name: string;
}

/** See the head of this file. Times are restored by the caller. Disposing closes what is open. */
export class LayerTree implements Disposable {
  readonly form: LayerForm;
  readonly #root: number;
  /** Longest unused first. */
  readonly #open = new Map<LayerPath, number>();

  /** @throws PosixError if `root` is not a directory */
  constructor(root: HostPath, form: LayerForm = NATIVE) {
    this.form = form;
    this.#root = file.openAt(file.AT_FDCWD, root, file.O_RDONLY | file.O_DIRECTORY | file.O_NOFOLLOW);
  }

  [Symbol.dispose](): void {
    this.#forget();
    file.close(this.#root);
  }

  /**
   * Where `path` is, or can be made.
   * @throws PosixError `ENOENT` if the layer does not have the directory
   * @throws {IntegrityError} `ERR_LAYER_PATH` if the layer has something else in its place
   */
  at(path: LayerPath): Place {
    if (path === ROOT) return { fd: this.#root, name: "." };
    const fd = this.#directory(parentPath(path));
    if (fd === null) throw new PosixError(ENOENT, "openat", parentPath(path));
    return { fd, name: baseName(path) };
  }

  /** null if there is nothing. @throws {IntegrityError} `ERR_LAYER_PATH`, as `at` */
  stat(path: LayerPath): Stat | null {
    const fd = path === ROOT ? this.#root : this.#directory(parentPath(path));
    return fd === null ? null : statAtOrNull(fd, path === ROOT ? "." : baseName(path));
  }

  list(path: LayerPath): readonly DirectoryEntry[] {
    const fd = this.#directory(path);
    if (fd === null) throw new PosixError(ENOENT, "openat", path);
    return listDirectory(hostPath(`/proc/self/fd/${fd}`));
  }

  readlink(path: LayerPath): string {
    const { fd, name } = this.at(path);
    return file.readlinkAt(fd, name);
  }

  makeDirectory(path: LayerPath, mode: number): void {
    const { fd, name } = this.at(path);
    file.mkdirAt(fd, name, mode);
    const { override } = this.form;
    if (override !== null) setXattr(xattrTargetAt(fd, name), override, ownerOfRoot(mode));
  }

  makeWhiteout(path: LayerPath): void {
    const { fd, name } = this.at(path);
    putWhiteout(fd, name, path);
  }

  /** Makes a device or fifo; `mode` includes the type. */
  makeNode(path: LayerPath, mode: number, major: number, minor: number): void {
    const { fd, name } = this.at(path);
    file.mknodAt(fd, name, this.form.override === null ? mode : backingMode(mode), major, minor);
  }

  symlink(target: string, path: LayerPath): void {
    const { fd, name } = this.at(path);
    file.symlinkAt(target, fd, name);
  }

  /** Opens a new file. The caller closes it. */
  create(path: LayerPath): number {
    const { fd, name } = this.at(path);
    return file.openAt(fd, name, file.O_WRONLY | file.O_CREAT | file.O_EXCL | file.O_NOFOLLOW, 0o600);
  }

  link(from: LayerPath, to: LayerPath): void {
    const [source, destination] = [this.at(from), this.at(to)];
    file.linkAt(source.fd, source.name, destination.fd, destination.name);
  }

  /** Renames to a name that is free. */
  rename(from: LayerPath, to: LayerPath): void {
    const [source, destination] = [this.at(from), this.at(to)];
    file.renameAt(source.fd, source.name, destination.fd, destination.name, file.RENAME_NOREPLACE);
    this.#forget(); // it may have been a directory with open ones below
  }

  remove(path: LayerPath): void {
    const { fd, name } = this.at(path);
    file.unlinkAt(fd, name);
  }

  removeDirectory(path: LayerPath): void {
    const { fd, name } = this.at(path);
    file.unlinkAt(fd, name, file.AT_REMOVEDIR);
    this.#forget();
  }

  /** In the form of attributes it is one of those (`setXattr`). */
  setOwner(path: LayerPath, uid: number, gid: number): void {
    if (this.form.override !== null) return;
    const { fd, name } = this.at(path);
    file.chown(fd, name, uid, gid);
  }

  /** Of anything but a symbolic link. */
  setMode(path: LayerPath, mode: number): void {
    const { fd, name } = this.at(path);
    file.chmod(fd, name, this.form.override === null ? mode : backingMode(mode));
  }

  setXattr(path: LayerPath, name: string, value: Uint8Array): void {
    setXattr(this.xattrTarget(path), name, value);
  }

  setOpaque(path: LayerPath): void {
    setOpaque(this.xattrTarget(path), this.form.namespace);
  }

  setTime(path: LayerPath, mtimeNs: bigint): void {
    const { fd, name } = this.at(path);
    file.setTimes(fd, name, mtimeNs, mtimeNs);
  }

  /** For reading and writing attributes, as long as the place is valid. */
  xattrTarget(path: LayerPath): XattrTarget {
    const { fd, name } = this.at(path);
    return xattrTargetAt(fd, name);
  }

  /** An open descriptor of the directory at `path`; null if there is nothing. */
  #directory(path: LayerPath): number | null {
    if (path === ROOT) return this.#root;
    let above = path;
    while (above !== ROOT && !this.#open.has(above)) above = parentPath(above);
    const start = this.#open.get(above) ?? this.#root;
    const fd = above === path ? start : walk(start, above, path);
    if (fd === null) return null;
    this.#open.delete(path);
    this.#open.set(path, fd);
    const [oldest] = this.#open;
    if (oldest !== undefined && this.#open.size > MAX_OPEN) {
      file.close(oldest[1]);
      this.#open.delete(oldest[0]);
    }
    return fd;
  }

  #forget(): void {
    for (const fd of this.#open.values()) file.close(fd);
    this.#open.clear();
  }
}

function ownerOfRoot(mode: number): Buffer {
  return formatOwnership({ uid: 0, gid: 0, mode: file.S_IFDIR | mode, rdevMajor: 0, rdevMinor: 0 });
}

/** Opens the directory at `path` from `start`, the one at `above`; null if there is nothing. */
function walk(start: number, above: LayerPath, path: LayerPath): number | null {
  let [fd, at] = [start, above];
  for (const name of path.slice(above === ROOT ? 0 : above.length + 1).split("/")) {
    at = childPath(at, name);
    let next: number | null;
    try {
      next = openBelow(fd, name, at);
    } finally {
      if (fd !== start) file.close(fd);
    }
    if (next === null) return null;
    fd = next;
  }
  return fd;
}

function openBelow(fd: number, name: string, path: LayerPath): number | null {
  try {
    return file.openAt(fd, name, file.O_RDONLY | file.O_DIRECTORY | file.O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    if (isErrno(error, "ENOTDIR", "ELOOP")) throw badPath(path, "it is not a directory in this layer");
    throw error;
  }
}
