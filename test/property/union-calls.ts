/**
 * The union core in this process, without a mount: does what the kernel does between a system call and a file system (path
 * walks, the checks of fs/namei.c) and calls the union's functions as the server would. Root calls.
 */

import { Reply } from "../../fuse/protocol/reply.ts";
import { Counters } from "../../fuse/server/counters.ts";
import { Files } from "../../fuse/server/files.ts";
import { attributesOf } from "../../fuse/union/attributes.ts";
import { contentFd } from "../../fuse/union/content.ts";
import { copyUp } from "../../fuse/union/copy-up.ts";
import { create, link } from "../../fuse/union/create.ts";
import { lookup } from "../../fuse/union/lookup.ts";
import type { Node } from "../../fuse/union/node.ts";
import { readDirectory, readDirectoryPlus } from "../../fuse/union/readdir.ts";
import { rmdir, unlink } from "../../fuse/union/remove.ts";
import { rename } from "../../fuse/union/rename.ts";
import { type Change, setAttributes } from "../../fuse/union/set-attributes.ts";
import type { Union } from "../../fuse/union/union.ts";
import { getAttribute, listAttributes, removeAttribute, setAttribute } from "../../fuse/union/xattrs.ts";
import { PosixError } from "../../src/errors.ts";
import { bytesOf } from "../../src/paths.ts";
import { allocate, readAt, writeAt } from "../../src/sys/data.ts";
import * as file from "../../src/sys/file.ts";
import { FALLOCATE, O_RDWR } from "../conformance/calls.ts";
import { ROOT } from "../helpers/union-scene.ts";
import type { FileSystem, Seen } from "./file-system.ts";
import { listText } from "./model/apply.ts";
import { read } from "./model/apply-data.ts";
import { type Call, type Outcome, statText } from "./model/call.ts";
import { type Inode, isBelow, join, type Path } from "./model/tree.ts";
import { walk } from "./model/walk.ts";
import { changesOf, inodeOfStat, isKept, RENAME_FLAGS, tolerate, XATTR_FLAGS } from "./system-calls.ts";

const ERRNO = {
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
  EPERM: 1,
} as const;
/** Room for an entry with the longest name, and a little more. */
const SMALL_LISTING_BYTES = 448;
/** A listing that takes more does not end. */
const MOST_LISTING_CALLS = 60;
const NS_OF_TIMES = 123_456_789;
const FOREVER = { seconds: 1, rest: 0 };

/** A name in a directory, and what has it. */
interface Place {
  readonly parent: Node;
  readonly name: string;
  readonly path: Path;
  readonly node: Node | null;
}

function fail(code: keyof typeof ERRNO): never {
  throw new PosixError(ERRNO[code], "call");
}

export class UnionCalls implements FileSystem {
  readonly #union: Union;
  readonly #files: Files;
  readonly #root: Path;
  readonly #sinceMs: number;

  /** `root`: the directory of the union that paths start at. */
  constructor(union: Union, root: Path, sinceMs: number) {
    this.#union = union;
    this.#files = new Files(union, -1, new Counters());
    this.#root = root;
    this.#sinceMs = sinceMs;
  }

  names(directory: Path): readonly string[] {
    return this.#list(this.#nodeAt(directory), 0).map(({ name }) => name);
  }

  look(path: Path): Seen {
    const node = this.#nodeAt(path);
    return { inode: this.#inode(node), key: String(node.ino) };
  }

  perform(call: Call): Outcome {
    return this.#perform(call) ?? "done";
  }

  #nodeAt(path: Path): Node {
    let node = this.#union.root;
    for (const name of join(this.#root, path).split("/")) {
      if (name !== "") node = lookup(this.#union, node, name)?.node ?? fail("ENOENT");
    }
    return node;
  }

  /** What is at a path without symbolic links on the way; null if nothing is. */
  #nodeOrNull(path: Path): Node | null {
    const slash = path.lastIndexOf("/");
    const parent = slash < 0 ? this.#nodeAt("") : this.#nodeOrNull(path.slice(0, slash));
    return parent === null ? null : (lookup(this.#union, parent, path.slice(slash + 1))?.node ?? null);
  }

  #find(path: Path, follow: boolean): Place {
    const look = (each: Path): { kind: string; content: string } | null => {
      const node = this.#nodeOrNull(each);
      return node === null
        ? null
        : { kind: kindOf(node), content: node.type === file.S_IFLNK ? this.#target(node) : "" };
    };
    const spot = walk(look, path, follow);
    if (typeof spot === "string") fail(spot as keyof typeof ERRNO);
    const name = spot.path.slice(spot.path.lastIndexOf("/") + 1);
    return { parent: this.#nodeAt(spot.parent), name, path: spot.path, node: this.#nodeOrNull(spot.path) };
  }

  #existing(path: Path, follow: boolean): Node {
    return this.#find(path, follow).node ?? fail("ENOENT");
  }

  #target(node: Node): string {
    const { fd, path } = this.#union.placeOf(node);
    return file.readlinkAt(fd, path ?? "");
  }

  #inode(node: Node): Inode {
    const stat = this.#union.statOf(node);
    const { mode, uid, gid } = attributesOf(this.#union, node, stat);
    const content =
      node.type === file.S_IFLNK ? this.#target(node) : node.type === file.S_IFREG ? this.#content(node) : "";
    const names = listAttributes(this.#union, node, ROOT.uid);
    const xattrs = names.map((name) => [name, getAttribute(this.#union, node, name)?.toString("latin1") ?? "lost"]);
    return inodeOfStat({ mode, uid, gid, mtimeNs: stat.mtimeNs }, this.#sinceMs, content, Object.fromEntries(xattrs));
  }

  #content(node: Node): string {
    this.#files.open(node, file.O_RDONLY);
    try {
      return this.#readAll(node);
    } finally {
      this.#files.release(node, file.O_RDONLY);
    }
  }

  #readAll(node: Node): string {
    const size = this.#union.statOf(node).sizeBytes;
    const buffer = Buffer.alloc(size + 1);
    return buffer.toString("latin1", 0, readAt(contentFd(this.#union, node, false), buffer, size + 1, 0));
  }

  /** All entries from an offset on, as many at a time as a small buffer holds: by turns plain and with attributes. */
  #list(directory: Node, offset: number, calls = MOST_LISTING_CALLS): readonly Entry[] {
    if (!directory.isDirectory) fail("ENOTDIR");
    const entries: Entry[] = [];
    let at = offset;
    for (let call = 0; call < calls; call++) {
      const reply = new Reply(Buffer.alloc(SMALL_LISTING_BYTES + 16));
      const given: Node[] = [];
      const isPlus = call % 2 === 1;
      if (isPlus) readDirectoryPlus(this.#union, directory, at, SMALL_LISTING_BYTES, reply, FOREVER, given);
      else readDirectory(this.#union, directory, at, SMALL_LISTING_BYTES, reply);
      for (const node of given) this.#union.nodes.forget(node.id, 1);
      const some = entriesIn(reply, isPlus);
      const last = some.at(-1);
      if (last === undefined) break;
      at = last.next;
      entries.push(...some);
    }
    return entries.filter(({ name }) => name !== "." && name !== "..");
  }

  #perform(call: Call): Outcome | undefined {
    switch (call.do) {
      case "create":
        return this.#make(call.path, file.S_IFREG | call.mode);
      case "mkdir":
        return this.#make(call.path, file.S_IFDIR | (call.mode & 0o1777)); // as vfs_mkdir
      case "mkfifo":
        return this.#make(call.path, file.S_IFIFO | call.mode);
      case "symlink":
        return this.#make(call.path, 0o120777, call.target);
      case "link":
        return this.#link(call.from, call.to);
      case "rename":
        return this.#rename(call.from, call.to, RENAME_FLAGS[call.how]);
      case "unlink":
      case "rmdir": {
        const { parent, name, node } = this.#find(call.path, false);
        if (node === null) fail("ENOENT");
        (call.do === "unlink" ? unlink : rmdir)(this.#union, parent, name);
        return;
      }
      case "chmod":
        return this.#change(this.#existing(call.path, true), { mode: call.mode });
      case "chown":
        return this.#chown(this.#existing(call.path, false), call.uid, call.gid);
      case "utimens": {
        const time = { seconds: call.mtime, rest: NS_OF_TIMES };
        return this.#change(this.#existing(call.path, false), { atime: time, mtime: time });
      }
      case "setxattr": {
        const node = this.#attributed(call.path, call.name);
        setAttribute(this.#union, node, call.name, bytesOf(call.value), XATTR_FLAGS[call.how], false);
        return;
      }
      case "removexattr":
        return removeAttribute(this.#union, this.#attributed(call.path, call.name), call.name) ?? undefined;
      case "stat": {
        const node = this.#existing(call.path, false);
        return statText(this.#inode(node), attributesOf(this.#union, node, this.#union.statOf(node)).nlink);
      }
      case "list":
        return listText(this.#list(this.#existing(call.path, true), 0).map(({ name }) => name));
      case "list changing":
        return this.#listChanging(call);
      default:
        return this.#performData(call);
    }
  }

  /** Attributes of users are for files and directories alone: the kernel's check. */
  #attributed(path: Path, name: string): Node {
    const node = this.#existing(path, false);
    if (name.startsWith("user.") && node.type !== file.S_IFREG && !node.isDirectory) fail("EPERM");
    return node;
  }

  #make(path: Path, mode: number, target?: string): undefined {
    const { parent, name, node } = this.#find(path, false);
    if (node !== null) fail("EEXIST");
    const made = create(this.#union, ROOT, parent, name, { mode, umask: 0, ...(target !== undefined && { target }) });
    this.#files.madeClosed(made.node);
  }

  #link(from: Path, to: Path): undefined {
    const node = this.#existing(from, false);
    const place = this.#find(to, false);
    if (place.node !== null) fail("EEXIST");
    link(this.#union, node, place.parent, place.name);
  }

  /** The checks of do_renameat2 that no file system sees. */
  #rename(from: Path, to: Path, flags: number): undefined {
    for (const path of [from, to]) this.#checkParent(path);
    const old = this.#find(from, false);
    if (old.node === null) fail("ENOENT");
    const target = this.#find(to, false);
    if ((flags & file.RENAME_NOREPLACE) !== 0 && target.node !== null) fail("EEXIST");
    if ((flags & file.RENAME_EXCHANGE) !== 0 && target.node === null) fail("ENOENT");
    if (isBelow(target.path, old.path)) fail("EINVAL");
    if (isBelow(old.path, target.path)) fail((flags & file.RENAME_EXCHANGE) !== 0 ? "EINVAL" : "ENOTEMPTY");
    rename(this.#union, old.parent, old.name, target.parent, target.name, flags);
  }

  #checkParent(path: Path): void {
    const slash = path.lastIndexOf("/");
    if (slash >= 0 && !this.#existing(path.slice(0, slash), true).isDirectory) fail("ENOTDIR");
  }

  #change(node: Node, change: Change): undefined {
    setAttributes(this.#union, node, change);
    this.#files.wasChanged(node);
  }

  /** chown(2) takes setuid from what is no directory, and setgid where the group may execute: the kernel asks for the mode. */
  #chown(node: Node, uid: number, gid: number): undefined {
    const { mode } = this.#union.statOf(node);
    const lost = 0o4000 | ((mode & 0o010) === 0 ? 0 : 0o2000);
    const left = !node.isDirectory && (mode & lost) !== 0 ? { mode: mode & 0o7777 & ~lost } : {};
    this.#change(node, { uid, gid, ...left });
  }

  #performData(call: Call): Outcome | undefined {
    switch (call.do) {
      case "read": {
        const node = this.#existing(call.path, true);
        if (node.isDirectory) fail("EISDIR");
        return read(node.type === file.S_IFREG ? this.#content(node) : "");
      }
      case "replace":
        return this.#replace(call.path, call.text);
      case "write":
        return this.#opened(call.path, "ENXIO", file.O_WRONLY, (node) => this.#write(node, call.text, call.offset));
      case "append":
        return this.#opened(call.path, "ENXIO", file.O_WRONLY, (node) =>
          this.#write(node, call.text, this.#union.statOf(node).sizeBytes),
        );
      case "truncate": {
        const node = this.#existing(call.path, true);
        if (node.type !== file.S_IFREG) fail(node.isDirectory ? "EISDIR" : "EINVAL");
        return this.#change(node, { sizeBytes: call.size });
      }
      case "allocate":
        return this.#opened(call.path, "ESPIPE", O_RDWR, (node) => {
          copyUp(this.#union, node);
          allocate(contentFd(this.#union, node, true), FALLOCATE[call.how], call.offset, call.length);
        });
      case "map":
        return this.#opened(call.path, "ENODEV", O_RDWR, (node) =>
          this.#union.statOf(node).sizeBytes < call.text.length ? "too short" : this.#write(node, call.text, 0),
        );
      case "write open":
        return this.#opened(call.path, "ESPIPE", file.O_RDONLY, (node) => {
          this.#opened(call.path, "ESPIPE", file.O_WRONLY, () => this.#write(node, call.text, 0));
          return read(this.#readAll(node));
        });
      case "unlink open":
        return this.#opened(call.path, "ESPIPE", O_RDWR, (node) => {
          const { parent, name } = this.#find(call.path, false);
          unlink(this.#union, parent, name);
          this.#write(node, call.text, 0);
          return read(this.#readAll(node));
        });
      default:
        throw new Error(`no call: ${call.do}`);
    }
  }

  #opened(
    path: Path,
    onFifo: keyof typeof ERRNO,
    flags: number,
    use: (node: Node) => Outcome | undefined | undefined,
  ): Outcome | undefined {
    const node = this.#existing(path, true);
    if (node.isDirectory) fail("EISDIR");
    if (node.type !== file.S_IFREG) fail(onFifo);
    this.#files.open(node, flags);
    node.lookups += 1; // an open file keeps its inode
    try {
      return use(node) ?? undefined;
    } finally {
      this.#files.release(node, flags);
      this.#union.nodes.forget(node.id, 1);
    }
  }

  #write(node: Node, text: string, offset: number): undefined {
    copyUp(this.#union, node);
    writeAt(contentFd(this.#union, node, true), bytesOf(text), text.length, offset);
  }

  #replace(path: Path, text: string): Outcome | undefined {
    const place = this.#find(path, true);
    if (place.node !== null) {
      return this.#opened(path, "ENXIO", file.O_WRONLY | file.O_TRUNC, (node) => this.#write(node, text, 0));
    }
    const wanted = { mode: file.S_IFREG | 0o644, umask: 0 };
    const { node } = create(this.#union, ROOT, place.parent, place.name, wanted);
    this.#files.openNew(node, file.O_WRONLY);
    this.#write(node, text, 0);
    this.#files.release(node, file.O_WRONLY);
    return undefined;
  }

  #listChanging(call: Extract<Call, { do: "list changing" }>): Outcome {
    const directory = this.#existing(call.path, true);
    const entries = [...this.#list(directory, 0, 1)];
    const next = entries.at(-1)?.next ?? 2;
    for (const change of changesOf(call)) tolerate(() => this.perform(change));
    entries.push(...this.#list(directory, next));
    return listText(entries.map(({ name }) => name).filter((name) => isKept(name, call)));
  }
}

function kindOf(node: Node): string {
  return node.isDirectory ? "directory" : node.type === file.S_IFLNK ? "symlink" : "other";
}

interface Entry {
  readonly name: string;
  readonly next: number;
}

/** `struct fuse_dirent`, after a `struct fuse_entry_out` where the listing has attributes. */
function entriesIn({ buffer, size }: Reply, isPlus: boolean): readonly Entry[] {
  const entries: Entry[] = [];
  for (let at = 16; at < size; ) {
    if (isPlus) at += 128;
    const length = buffer.readUInt32LE(at + 16);
    entries.push({
      name: buffer.toString("latin1", at + 24, at + 24 + length),
      next: Number(buffer.readBigUInt64LE(at + 8)),
    });
    at += (24 + length + 7) & ~7;
  }
  return entries;
}
