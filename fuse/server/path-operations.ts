/**
 * The union as a library asks for it that knows files by their paths, and open ones by a number that they were given.
 */

import { PosixError } from "../../src/errors.ts";
import { readAt } from "../../src/sys/data.ts";
import { O_RDWR, readlinkAt, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../src/sys/file.ts";
import { STATISTICS_XATTR } from "../../src/sys/fuse-device.ts";
import { type FileSystemUse, fileSystemUse } from "../../src/sys/statfs.ts";
import type { Attributes } from "../protocol/reply.ts";
import type { Caller } from "../protocol/request.ts";
import { attributesOf } from "../union/attributes.ts";
import { contentFd } from "../union/content.ts";
import { copyUp } from "../union/copy-up.ts";
import { create, link, type NewFile } from "../union/create.ts";
import { syncContent, syncDirectory, writeAll } from "../union/data.ts";
import { ERRNO } from "../union/errno.ts";
import type { Node } from "../union/node.ts";
import { type ListedEntry, listedEntries } from "../union/readdir.ts";
import { rmdir, unlink } from "../union/remove.ts";
import { rename } from "../union/rename.ts";
import { type Change, setAttributes } from "../union/set-attributes.ts";
import type { Union } from "../union/union.ts";
import { getAttribute, listAttributes, removeAttribute, setAttribute } from "../union/xattrs.ts";
import { type Counters, STATISTICS_BYTES } from "./counters.ts";
import { Files } from "./files.ts";
import { PathNodes, type Spot } from "./path-nodes.ts";

/** What `find` and a build come back to; some 20 MiB. */
const MOST_RECENT = 20_000;
const LARGEST_HANDLE = 0x7fff_ffff;

interface OpenFile {
  readonly node: Node;
  readonly flags: number;
}

/** Paths are byte strings that begin with "/". Every function throws PosixError, as the call of its name fails. */
export class PathOperations {
  readonly #union: Union;
  readonly #files: Files;
  readonly #counters: Counters;
  /** The library does not say who asks: files belong to who serves. */
  readonly #caller: Caller = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, pid: 0 };
  readonly #nodes: PathNodes;
  readonly #open = new Map<number, OpenFile>();
  #lastHandle = 0;

  /** Keeps `mostRecent` files known that are not open. */
  constructor(union: Union, counters: Counters, mostRecent = MOST_RECENT) {
    this.#union = union;
    this.#files = new Files(union, null, counters);
    this.#counters = counters;
    union.tally = counters.caches;
    this.#nodes = new PathNodes(union, mostRecent);
  }

  attributes(path: string): Attributes {
    return this.#attributes(this.#nodes.at(path));
  }

  openAttributes(handle: number): Attributes {
    return this.#attributes(this.#handle(handle).node);
  }

  #attributes(node: Node): Attributes {
    return attributesOf(this.#union, node, this.#union.statOf(node));
  }

  readlink(path: string): string {
    const node = this.#nodes.at(path);
    if (node.type !== S_IFLNK) throw new PosixError(ERRNO.EINVAL, "readlink");
    const place = this.#union.placeOf(node);
    return readlinkAt(place.fd, place.path ?? "");
  }

  /** "." and ".." are among them. */
  list(path: string): Iterable<ListedEntry> {
    return listedEntries(this.#union, this.#nodes.at(path));
  }

  symlink(target: string, path: string): void {
    this.#make(path, { mode: S_IFLNK | 0o777, umask: 0, target });
  }

  mkdir(path: string, mode: number): void {
    this.#make(path, { mode: (mode & 0o7777) | S_IFDIR, umask: 0 });
  }

  mknod(path: string, mode: number, rdev: readonly [major: number, minor: number]): void {
    const type = mode & S_IFMT || S_IFREG;
    this.#files.madeClosed(this.#make(path, { mode: (mode & 0o7777) | type, umask: 0, rdev }));
  }

  /** The kernel has taken the umask off already. */
  #make(path: string, wanted: NewFile): Node {
    const { parent, name } = this.#nodes.spot(path);
    return this.#nodes.remember(create(this.#union, this.#caller, parent, name, wanted).node);
  }

  link(path: string, newPath: string): void {
    const node = this.#nodes.at(path);
    const { parent, name } = this.#nodes.spot(newPath);
    link(this.#union, node, parent, name);
  }

  unlink(path: string): void {
    const spot = this.#nodes.spot(path);
    if (this.#nodes.hidden(spot.name) === undefined) this.#remove(unlink, spot);
    else this.#nodes.reveal(spot.name);
  }

  rmdir(path: string): void {
    this.#remove(rmdir, this.#nodes.spot(path));
  }

  #remove(remove: typeof unlink, spot: Spot): void {
    const node = this.#nodes.child(spot);
    remove(this.#union, spot.parent, spot.name);
    if (node !== null) this.#nodes.forgetIfGone(node);
  }

  rename(path: string, newPath: string): void {
    const from = this.#nodes.spot(path);
    const to = this.#nodes.spot(newPath);
    const node = this.#nodes.child(from);
    if (node !== null && this.#nodes.isHiding(node, from, to)) {
      unlink(this.#union, from.parent, from.name);
      this.#nodes.hide(to.name, node);
      return;
    }
    const replaced = this.#nodes.child(to);
    rename(this.#union, from.parent, from.name, to.parent, to.name, 0);
    if (replaced !== null) this.#nodes.forgetIfGone(replaced);
  }

  change(path: string, change: Change): void {
    setAttributes(this.#union, this.#nodes.at(path), change);
  }

  truncateOpen(handle: number, sizeBytes: number): void {
    setAttributes(this.#union, this.#handle(handle).node, { sizeBytes });
  }

  /** Opens a regular file with the flags of open(2): a number from 1 on, for `release`. */
  open(path: string, flags: number): number {
    const node = this.#nodes.at(path);
    this.#files.open(node, flags);
    return this.#opened(node, flags);
  }

  create(path: string, mode: number): number {
    const node = this.#make(path, { mode: (mode & 0o7777) | S_IFREG, umask: 0 });
    this.#files.openNew(node, O_RDWR);
    return this.#opened(node, O_RDWR);
  }

  #opened(node: Node, flags: number): number {
    do this.#lastHandle = (this.#lastHandle % LARGEST_HANDLE) + 1;
    while (this.#open.has(this.#lastHandle));
    node.lookups += 1;
    this.#open.set(this.#lastHandle, { node, flags });
    return this.#lastHandle;
  }

  /** libfuse forgets a hidden name whose directory is gone; then the file goes with its last descriptor. */
  release(handle: number): void {
    const { node, flags } = this.#handle(handle);
    this.#open.delete(handle);
    this.#files.release(node, flags);
    if (node.opens === 0) this.#nodes.revealAll(node);
    this.#union.nodes.forget(node.id, 1);
  }

  /** Fills `buffer` from an offset on; how many bytes there were. */
  read(handle: number, buffer: Buffer, offset: number): number {
    return readAt(contentFd(this.#union, this.#handle(handle).node, false), buffer, buffer.length, offset);
  }

  write(handle: number, bytes: Buffer, offset: number): number {
    const { node } = this.#handle(handle);
    copyUp(this.#union, node);
    return writeAll(contentFd(this.#union, node, true), bytes, offset);
  }

  sync(handle: number, dataOnly: boolean): void {
    syncContent(this.#union, this.#handle(handle).node, dataOnly);
  }

  syncDirectory(path: string): void {
    syncDirectory(this.#union, this.#nodes.at(path));
  }

  /** The value, a view that the next call overwrites. */
  getXattr(path: string, name: string): Buffer {
    if (path === "/" && name === STATISTICS_XATTR) {
      return Buffer.from(JSON.stringify(this.#counters.snapshot()).padEnd(STATISTICS_BYTES));
    }
    const value = getAttribute(this.#union, this.#nodes.at(path), name);
    if (value === null) throw new PosixError(ERRNO.ENODATA, "getxattr");
    return value;
  }

  setXattr(path: string, name: string, value: Uint8Array, flags: number): void {
    setAttribute(this.#union, this.#nodes.at(path), name, value, flags, false);
  }

  listXattrs(path: string): readonly string[] {
    return listAttributes(this.#union, this.#nodes.at(path), 0);
  }

  removeXattr(path: string, name: string): void {
    removeAttribute(this.#union, this.#nodes.at(path), name);
  }

  use(): FileSystemUse {
    const layer = this.#union.upper?.layer ?? this.#union.lowers[0];
    if (layer === undefined) throw new PosixError(ERRNO.EIO, "statfs");
    return fileSystemUse(layer.fd);
  }

  #handle(handle: number): OpenFile {
    const open = this.#open.get(handle);
    if (open === undefined) throw new PosixError(ERRNO.EBADF, "fuse");
    return open;
  }
}
