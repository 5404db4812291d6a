/**
 * The union core in this process, without a mount: does what the kernel does between a system call and a file system (path
 * walks, the checks of fs/namei.c) and calls the union's functions as the server would. Root calls.
 */

import { attributesOf } from "../../../fuse/union/attributes.ts";
import { create, link } from "../../../fuse/union/create.ts";
import type { Node } from "../../../fuse/union/node.ts";
import { rmdir, unlink } from "../../../fuse/union/remove.ts";
import { rename } from "../../../fuse/union/rename.ts";
import type { Union } from "../../../fuse/union/union.ts";
import { getAttribute, listAttributes, removeAttribute, setAttribute } from "../../../fuse/union/xattrs.ts";
import { bytesOf } from "../../../src/paths.ts";
import * as file from "../../../src/sys/file.ts";
import { ROOT } from "../../helpers/union-scene.ts";
import type { FileSystem, Seen } from "../file-system.ts";
import { listText } from "../model/apply.ts";
import { type Call, type Outcome, statText } from "../model/call.ts";
import { type Inode, isBelow, type Path } from "../model/tree.ts";
import { changesOf, inodeOfStat, isKept, RENAME_FLAGS, tolerate, XATTR_FLAGS } from "../system-calls.ts";
import { UnionData } from "./union-data.ts";
import { listUnion } from "./union-listing.ts";
import { fail, UnionWalk } from "./union-walk.ts";

const NS_OF_TIMES = 123_456_789;

export class UnionCalls implements FileSystem {
  readonly #union: Union;
  readonly #walk: UnionWalk;
  readonly #data: UnionData;
  readonly #sinceMs: number;
  readonly #isForgetful: boolean;

  /** `root`: the directory of the union that paths start at. `isForgetful`: each directory is listed with nothing known of others. */
  constructor(union: Union, root: Path, sinceMs: number, isForgetful = false) {
    this.#isForgetful = isForgetful;
    this.#union = union;
    this.#walk = new UnionWalk(union, root);
    this.#data = new UnionData(this.#walk);
    this.#sinceMs = sinceMs;
  }

  names(directory: Path): readonly string[] {
    if (this.#isForgetful) this.#walk.dropCaches();
    return listUnion(this.#walk, this.#walk.nodeAt(directory), 0).map(({ name }) => name);
  }

  look(path: Path): Seen {
    const node = this.#walk.nodeAt(path);
    return { inode: this.#inode(node), key: String(node.ino) };
  }

  perform(call: Call): Outcome {
    return this.#perform(call) ?? "done";
  }

  #inode(node: Node): Inode {
    const stat = this.#union.statOf(node);
    const { mode, uid, gid } = attributesOf(this.#union, node, stat);
    const content =
      node.type === file.S_IFLNK ? this.#walk.target(node) : node.type === file.S_IFREG ? this.#data.content(node) : "";
    const names = listAttributes(this.#union, node, ROOT.uid);
    const xattrs = names.map((name) => [name, getAttribute(this.#union, node, name)?.toString("latin1") ?? "lost"]);
    return inodeOfStat({ mode, uid, gid, mtimeNs: stat.mtimeNs }, this.#sinceMs, content, Object.fromEntries(xattrs));
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
        const { parent, name, node } = this.#walk.find(call.path, false);
        if (node === null) fail("ENOENT");
        (call.do === "unlink" ? unlink : rmdir)(this.#union, parent, name);
        return;
      }
      case "chmod":
        return this.#data.change(this.#walk.existing(call.path, true), { mode: call.mode });
      case "chown":
        return this.#chown(this.#walk.existing(call.path, false), call.uid, call.gid);
      case "utimens": {
        const time = { seconds: call.mtime, rest: NS_OF_TIMES };
        return this.#data.change(this.#walk.existing(call.path, false), { atime: time, mtime: time });
      }
      case "setxattr": {
        const node = this.#attributed(call.path, call.name);
        setAttribute(this.#union, node, call.name, bytesOf(call.value), XATTR_FLAGS[call.how], false);
        return;
      }
      case "removexattr":
        return removeAttribute(this.#union, this.#attributed(call.path, call.name), call.name) ?? undefined;
      case "stat": {
        const node = this.#walk.existing(call.path, false);
        return statText(this.#inode(node), attributesOf(this.#union, node, this.#union.statOf(node)).nlink);
      }
      case "list":
        return this.#list(call.path);
      case "list changing":
        return this.#listChanging(call);
      default:
        return this.#data.perform(call);
    }
  }

  /** Attributes of users are for files and directories alone: the kernel's check. */
  #attributed(path: Path, name: string): Node {
    const node = this.#walk.existing(path, false);
    if (name.startsWith("user.") && node.type !== file.S_IFREG && !node.isDirectory) fail("EPERM");
    return node;
  }

  #make(path: Path, mode: number, target?: string): undefined {
    const { parent, name, node } = this.#walk.find(path, false);
    if (node !== null) fail("EEXIST");
    const made = create(this.#union, ROOT, parent, name, { mode, umask: 0, ...(target !== undefined && { target }) });
    this.#data.madeClosed(made.node);
  }

  #link(from: Path, to: Path): undefined {
    const node = this.#walk.existing(from, false);
    const place = this.#walk.find(to, false);
    if (place.node !== null) fail("EEXIST");
    link(this.#union, node, place.parent, place.name);
  }

  /** The checks of do_renameat2 that no file system sees. */
  #rename(from: Path, to: Path, flags: number): undefined {
    for (const path of [from, to]) this.#checkParent(path);
    const old = this.#walk.find(from, false);
    if (old.node === null) fail("ENOENT");
    const target = this.#walk.find(to, false);
    if ((flags & file.RENAME_NOREPLACE) !== 0 && target.node !== null) fail("EEXIST");
    if ((flags & file.RENAME_EXCHANGE) !== 0 && target.node === null) fail("ENOENT");
    if (isBelow(target.path, old.path)) fail("EINVAL");
    if (isBelow(old.path, target.path)) fail((flags & file.RENAME_EXCHANGE) !== 0 ? "EINVAL" : "ENOTEMPTY");
    rename(this.#union, old.parent, old.name, target.parent, target.name, flags);
  }

  #checkParent(path: Path): void {
    const slash = path.lastIndexOf("/");
    if (slash >= 0 && !this.#walk.existing(path.slice(0, slash), true).isDirectory) fail("ENOTDIR");
  }

  /** chown(2) takes setuid from what is no directory, and setgid where the group may execute: the kernel asks for the mode. */
  #chown(node: Node, uid: number, gid: number): undefined {
    const { mode } = this.#union.statOf(node);
    const lost = 0o4000 | ((mode & 0o010) === 0 ? 0 : 0o2000);
    const left = !node.isDirectory && (mode & lost) !== 0 ? { mode: mode & 0o7777 & ~lost } : {};
    this.#data.change(node, { uid, gid, ...left });
  }

  #directory(path: Path): Node {
    const node = this.#walk.existing(path, true);
    return node.isDirectory ? node : fail("ENOTDIR");
  }

  /** Before it nothing is known any more: what is listed is what the layers say. */
  #list(path: Path): Outcome {
    this.#walk.dropCaches();
    return listText(listUnion(this.#walk, this.#directory(path), 0).map(({ name }) => name));
  }

  #listChanging(call: Extract<Call, { do: "list changing" }>): Outcome {
    const directory = this.#directory(call.path);
    const entries = [...listUnion(this.#walk, directory, 0, 1)];
    const next = entries.at(-1)?.next ?? 2;
    for (const change of changesOf(call)) tolerate(() => this.perform(change));
    entries.push(...listUnion(this.#walk, directory, next));
    return listText(entries.map(({ name }) => name).filter((name) => isKept(name, call)));
  }
}
