/**
 * What each system call does to a tree and what it answers: POSIX and the manual pages of Linux, for root. A call that
 * fails changes nothing. What the order of two errors is, where both are true, is what Linux does.
 */

import { applyData } from "./apply-data.ts";
import type { Call, Outcome } from "./call.ts";
import { statText } from "./call.ts";
import { rename } from "./rename.ts";
import {
  type Inode,
  inodeAt,
  inodeOf,
  join,
  linksOf,
  namesIn,
  type Path,
  type Tree,
  withInode,
  withName,
  without,
} from "./tree.ts";
import { type Spot, walk } from "./walk.ts";

/** A tree after a call, and its answer. */
export interface Applied {
  readonly tree: Tree;
  readonly outcome: Outcome;
}

const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o0010;
/** mkdir(2) gives neither setuid nor setgid. */
const MKDIR_BITS = 0o1777;

export function apply(tree: Tree, call: Call): Applied {
  const result = change(tree, call);
  return typeof result === "string"
    ? { tree, outcome: result }
    : "tree" in result
      ? result
      : { tree: result, outcome: "done" };
}

/** A string is an errno, or what was read. */
export type Result = Tree | Applied | Outcome;

export function spotOf(tree: Tree, path: Path, follow: boolean): Spot | string {
  return walk((each) => inodeAt(tree, each) ?? null, path, follow);
}

/** Goes on with what is at a path; without it the answer is an errno. */
export function at(tree: Tree, path: Path, follow: boolean, go: (inode: Inode, spot: Spot) => Result): Result {
  const spot = spotOf(tree, path, follow);
  if (typeof spot === "string") return spot;
  const inode = inodeAt(tree, spot.path);
  return inode === undefined ? "ENOENT" : go(inode, spot);
}

function change(tree: Tree, call: Call): Result {
  switch (call.do) {
    case "create":
      return make(tree, call.path, inodeOf("file", { mode: call.mode, mtime: "now" }));
    case "mkdir":
      return make(tree, call.path, inodeOf("directory", { mode: call.mode & MKDIR_BITS, mtime: "now" }));
    case "mkfifo":
      return make(tree, call.path, inodeOf("fifo", { mode: call.mode, mtime: "now" }));
    case "symlink":
      return make(tree, call.path, inodeOf("symlink", { content: call.target, mtime: "now" }));
    case "link":
      return link(tree, call.from, call.to);
    case "rename":
      return rename(tree, call.from, call.to, call.how);
    case "unlink":
      return unlink(tree, call.path);
    case "rmdir":
      return rmdir(tree, call.path);
    case "chmod":
      return at(tree, call.path, true, (_, { path }) => withInode(tree, path, { mode: call.mode }));
    case "chown":
      return at(tree, call.path, false, (inode, { path }) =>
        withInode(tree, path, { uid: call.uid, gid: call.gid, mode: modeAfterChown(inode) }),
      );
    case "utimens":
      return at(tree, call.path, false, (_, { path }) => withInode(tree, path, { mtime: call.mtime }));
    case "setxattr":
      return at(tree, call.path, false, (inode, { path }) => setXattr(tree, path, inode, call));
    case "removexattr":
      return at(tree, call.path, false, (inode, { path }) => removeXattr(tree, path, inode, call.name));
    case "list":
      return at(tree, call.path, true, ({ kind }, { path }) =>
        kind === "directory" ? listText(namesIn(tree, path)) : "ENOTDIR",
      );
    case "stat":
      return at(tree, call.path, false, (inode, { path }) => statText(inode, linksOf(tree, path)));
    case "list changing":
      return at(tree, call.path, true, ({ kind }, { path }) =>
        kind === "directory" ? listChanging(tree, path, call.made, call.removed) : "ENOTDIR",
      );
    default:
      return applyData(tree, call);
  }
}

export function listText(names: readonly string[]): Outcome {
  return `names: ${[...names].sort().join(" ")}`;
}

/** A new name in a directory, whose group and setgid bit are handed down. */
export function make(tree: Tree, path: Path, inode: Inode, follow = false): Result {
  const spot = spotOf(tree, path, follow);
  if (typeof spot === "string") return spot;
  if (tree.names.has(spot.path)) return "EEXIST";
  const parent = inodeAt(tree, spot.parent);
  const isSetgid = parent !== undefined && (parent.mode & S_ISGID) !== 0;
  const inherited = isSetgid
    ? { gid: parent.gid, mode: inode.kind === "directory" ? inode.mode | S_ISGID : inode.mode }
    : {};
  return touched(withName(tree, spot.path, { ...inode, ...inherited }), spot.parent);
}

/** A directory whose names were changed. */
export function touched(tree: Tree, directory: Path): Tree {
  return withInode(tree, directory, { mtime: "now" });
}

function link(tree: Tree, from: Path, to: Path): Result {
  return at(tree, from, false, ({ kind }, old) => {
    const spot = spotOf(tree, to, false);
    if (typeof spot === "string") return spot;
    if (tree.names.has(spot.path)) return "EEXIST";
    if (kind === "directory") return "EPERM";
    return touched(withName(tree, spot.path, tree.names.get(old.path) ?? 0), spot.parent);
  });
}

export function unlink(tree: Tree, path: Path): Result {
  return at(tree, path, false, ({ kind }, spot) =>
    kind === "directory" ? "EISDIR" : touched(without(tree, spot.path), spot.parent),
  );
}

function rmdir(tree: Tree, path: Path): Result {
  return at(tree, path, false, ({ kind }, spot) => {
    if (kind !== "directory") return "ENOTDIR";
    if (namesIn(tree, spot.path).length > 0) return "ENOTEMPTY";
    return touched(without(tree, spot.path), spot.parent);
  });
}

/** Who changes the owner of a file takes its privileges away; a setgid bit without execution for the group is none. */
function modeAfterChown({ kind, mode }: Inode): number {
  if (kind === "directory") return mode;
  return mode & ~S_ISUID & ((mode & S_IXGRP) === 0 ? -1 : ~S_ISGID);
}

/** Attributes of users are for files and directories alone (xattr(7)). */
function setXattr(tree: Tree, path: Path, inode: Inode, call: { name: string; value: string; how: string }): Result {
  const { xattrs, kind } = inode;
  if (call.name.startsWith("user.") && kind !== "file" && kind !== "directory") return "EPERM";
  if (call.how === "create" && call.name in xattrs) return "EEXIST";
  if (call.how === "replace" && !(call.name in xattrs)) return "ENODATA";
  return withInode(tree, path, { xattrs: { ...xattrs, [call.name]: call.value } });
}

function removeXattr(tree: Tree, path: Path, { xattrs, kind }: Inode, name: string): Result {
  if (name.startsWith("user.") && kind !== "file" && kind !== "directory") return "EPERM";
  if (!(name in xattrs)) return "ENODATA";
  const { [name]: _, ...rest } = xattrs;
  return withInode(tree, path, { xattrs: rest });
}

function listChanging(tree: Tree, directory: Path, made: string, removed: string): Applied {
  const before = namesIn(tree, directory).filter((name) => name !== made && name !== removed);
  const after = apply(tree, { do: "create", path: join(directory, made), mode: 0o644 }).tree;
  return { tree: apply(after, { do: "unlink", path: join(directory, removed) }).tree, outcome: listText(before) };
}
