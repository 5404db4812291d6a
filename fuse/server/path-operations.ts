/**
 * The union as a library asks for it that knows files by their paths and not by node ids. It never says that it has
 * forgotten a file, so a number of nodes is kept, those that were asked for last; open files stay known besides.
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
import { lookupNode } from "../union/lookup.ts";
import type { Node } from "../union/node.ts";
import { type ListedEntry, listedEntries } from "../union/readdir.ts";
import { rmdir, unlink } from "../union/remove.ts";
import { rename } from "../union/rename.ts";
import { type Change, setAttributes } from "../union/set-attributes.ts";
import type { Union } from "../union/union.ts";
import { getAttribute, listAttributes, removeAttribute, setAttribute } from "../union/xattrs.ts";
import { type Counters, STATISTICS_BYTES } from "./counters.ts";
import { Files } from "./files.ts";

/** What `find` and a build come back to; some 20 MiB. */
const MOST_RECENT = 20_000;
const LARGEST_HANDLE = 0x7fff_ffff;
const NO_DEVICE = -1;

/** What libfuse renames an open file to instead of removing it (libfuse 2.9, `hidden_name`). */
const HIDDEN_NAME = /^\.fuse_hidden[0-9a-f]{16}$/;

interface OpenFile {
  readonly node: Node;
  readonly flags: number;
}

/** Where a name is, or is to be. */
interface Spot {
  readonly parent: Node;
  readonly name: string;
}

/** Paths are byte strings that begin with "/". Every function throws PosixError, as the call of its name fails. */
export class PathOperations {
  readonly #union: Union;
  readonly #files: Files;
  readonly #counters: Counters;
  /** The library does not say who asks: files belong to who serves. */
  readonly #caller: Caller = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, pid: 0 };
  readonly #mostRecent: number;
  readonly #recent = new Set<Node>();
  readonly #open = new Map<number, OpenFile>();
  /** Files that were removed while they were open, by the names that libfuse has given them. */
  readonly #hidden = new Map<string, Node>();
  #lastHandle = 0;

  /** Keeps `mostRecent` files known that are not open. */
  constructor(union: Union, counters: Counters, mostRecent = MOST_RECENT) {
    this.#union = union;
    this.#files = new Files(union, NO_DEVICE, counters);
    this.#counters = counters;
    this.#mostRecent = mostRecent;
  }

  attributes(path: string): Attributes {
    return this.#attributes(this.#node(path));
  }

  openAttributes(handle: number): Attributes {
    return this.#attributes(this.#handle(handle).node);
  }

  #attributes(node: Node): Attributes {
    return attributesOf(this.#union, node, this.#union.statOf(node));
  }

  readlink(path: string): string {
    const node = this.#node(path);
    if (node.type !== S_IFLNK) throw new PosixError(ERRNO.EINVAL, "readlink");
    const place = this.#union.placeOf(node);
    return readlinkAt(place.fd, place.path ?? "");
  }

  /** "." and ".." are among them. */
  list(path: string): Iterable<ListedEntry> {
    return listedEntries(this.#union, this.#node(path));
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
    const { parent, name } = this.#spot(path);
    return this.#remember(create(this.#union, this.#caller, parent, name, wanted).node);
  }

  link(path: string, newPath: string): void {
    const node = this.#node(path);
    const { parent, name } = this.#spot(newPath);
    link(this.#union, node, parent, name);
  }

  unlink(path: string): void {
    const { parent, name } = this.#spot(path);
    const hidden = this.#hidden.get(name);
    if (hidden === undefined) this.#remove(unlink, parent, name);
    else this.#reveal(name, hidden);
  }

  rmdir(path: string): void {
    const { parent, name } = this.#spot(path);
    this.#remove(rmdir, parent, name);
  }

  /** What was removed is kept for nobody. */
  #remove(remove: typeof unlink, parent: Node, name: string): void {
    const node = this.#child({ parent, name });
    remove(this.#union, parent, name);
    if (node !== null) this.#forgetIfGone(node);
  }

  rename(path: string, newPath: string): void {
    const from = this.#spot(path);
    const to = this.#spot(newPath);
    const node = this.#child(from);
    if (node !== null && node.opens > 0 && HIDDEN_NAME.test(to.name)) {
      this.#hide(from, node, to.name);
      return;
    }
    const replaced = this.#child(to);
    rename(this.#union, from.parent, from.name, to.parent, to.name, 0);
    if (replaced !== null) this.#forgetIfGone(replaced);
  }

  /** Removes an open file when libfuse would only hide it: nothing of it is to be seen, and its directory can be removed. */
  #hide({ parent, name }: Spot, node: Node, hiddenName: string): void {
    node.lookups += 1;
    try {
      unlink(this.#union, parent, name);
    } catch (error) {
      this.#union.nodes.forget(node.id, 1);
      throw error;
    }
    this.#hidden.set(hiddenName, node);
  }

  #reveal(hiddenName: string, node: Node): void {
    this.#hidden.delete(hiddenName);
    this.#forgetIfGone(node);
    this.#union.nodes.forget(node.id, 1);
  }

  change(path: string, change: Change): void {
    this.#change(this.#node(path), change);
  }

  truncateOpen(handle: number, sizeBytes: number): void {
    this.#change(this.#handle(handle).node, { sizeBytes });
  }

  #change(node: Node, change: Change): void {
    setAttributes(this.#union, node, change);
    this.#files.wasChanged(node);
  }

  /** Opens a regular file with the flags of open(2): a number from 1 on, for `release`. */
  open(path: string, flags: number): number {
    const node = this.#node(path);
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
    if (node.opens === 0) {
      for (const [name, hidden] of this.#hidden) if (hidden === node) this.#reveal(name, node);
    }
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
    syncDirectory(this.#union, this.#node(path));
  }

  /** The value, a view that the next call overwrites. */
  getXattr(path: string, name: string): Buffer {
    if (path === "/" && name === STATISTICS_XATTR) {
      return Buffer.from(JSON.stringify(this.#counters.snapshot()).padEnd(STATISTICS_BYTES));
    }
    const value = getAttribute(this.#union, this.#node(path), name);
    if (value === null) throw new PosixError(ERRNO.ENODATA, "getxattr");
    return value;
  }

  setXattr(path: string, name: string, value: Uint8Array, flags: number): void {
    setAttribute(this.#union, this.#node(path), name, value, flags, false);
  }

  listXattrs(path: string): readonly string[] {
    return listAttributes(this.#union, this.#node(path), 0);
  }

  removeXattr(path: string, name: string): void {
    removeAttribute(this.#union, this.#node(path), name);
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

  #node(path: string): Node {
    const hidden = this.#hidden.get(path.slice(path.lastIndexOf("/") + 1));
    return hidden ?? this.#find(path);
  }

  /** The directory and the name that a path ends in. */
  #spot(path: string): Spot {
    const end = path.lastIndexOf("/");
    return { parent: this.#find(path.slice(0, Math.max(1, end))), name: path.slice(end + 1) };
  }

  #child({ parent, name }: Spot): Node | null {
    const node = lookupNode(this.#union, parent, name);
    return node === null ? null : this.#remember(node);
  }

  #find(path: string): Node {
    let node = this.#union.root;
    for (const name of path.split("/")) {
      if (name === "") continue;
      const child = lookupNode(this.#union, node, name);
      if (child === null) {
        this.#remember(node);
        throw new PosixError(ERRNO.ENOENT, "lookup");
      }
      node = child;
    }
    return this.#remember(node);
  }

  /** Keeps a node until enough others were asked for. The directories above it stay with it. */
  #remember(node: Node): Node {
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

  #forgetIfGone(node: Node): void {
    if (node.isOrphan) this.#forget(node);
  }

  #forget(node: Node): void {
    if (this.#recent.delete(node)) this.#union.nodes.forget(node.id, 1);
  }
}
