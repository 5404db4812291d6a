/**
 * rename(2) in a union (fs/overlayfs/dir.c, `ovl_rename`). What is below is copied up first and hidden at its old place. A
 * directory with lower parts can only be moved with redirects; without them the answer is EXDEV, and programs copy.
 */

import { isErrno, PosixError } from "../../src/errors.ts";
import { setOpaque } from "../../src/overlay/opaque.ts";
import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { NAME_MAX } from "../../src/paths.ts";
import * as file from "../../src/sys/file.ts";
import { getXattr, setXattr } from "../../src/sys/xattr.ts";
import { holdOrphan, makeWhole } from "./content.ts";
import { copyUp, markImpure } from "./copy-up.ts";
import type { IndexEntry } from "./directory-index.ts";
import { ERRNO } from "./errno.ts";
import { changeExtraNames, linkUp } from "./hard-links.ts";
import { isReserved, lookupNode } from "./lookup.ts";
import type { Node } from "./node.ts";
import { dropIndexed, expectWhiteout, removeWhiteouts, whiteoutIn } from "./remove.ts";
import type { Union } from "./union.ts";
import { discard, type Upper } from "./workdir.ts";

/** The longest redirect that overlayfs follows (`OVL_REDIRECT_MAX`). */
const REDIRECT_MAX = 256;

/** One end of a rename: a name in a directory, and what has it. */
interface End {
  readonly parent: Node;
  readonly name: string;
  readonly entry: IndexEntry | undefined;
  readonly node: Node | null;
}

/**
 * @throws PosixError `EXDEV` for a directory with lower parts and no redirects; `EINVAL` for flags that are not supported;
 *   and what rename(2) says: `ENOENT`, `EEXIST`, `ENOTDIR`, `EISDIR`, `ENOTEMPTY`, `EROFS`
 */
export function rename(union: Union, from: Node, name: string, to: Node, newName: string, flags: number): void {
  union.writable();
  if ((flags & ~(file.RENAME_NOREPLACE | file.RENAME_EXCHANGE)) !== 0) throw new PosixError(ERRNO.EINVAL, "rename");
  if (newName.length > NAME_MAX) throw new PosixError(ERRNO.ENAMETOOLONG, "rename");
  if (isReserved(union, newName)) throw new PosixError(ERRNO.EPERM, "rename");
  const old = endOf(union, from, name);
  const target = endOf(union, to, newName);
  if (old.node === null) throw new PosixError(ERRNO.ENOENT, "rename");
  if (old.node === target.node) return; // two names of one file: nothing happens
  const isExchange = (flags & file.RENAME_EXCHANGE) !== 0;
  checkTarget(union, old.node, target.node, flags);
  if (old.node.isDirectory) checkMovable(union, old.node);
  if (isExchange && target.node?.isDirectory) checkMovable(union, target.node);
  const upper = copyUp(union, to);
  copyUp(union, from);
  bringUp(union, upper, old);
  if (isExchange) {
    bringUp(union, upper, target);
    exchange(union, upper, old, target);
  } else {
    move(union, upper, old, target);
  }
}

function endOf(union: Union, parent: Node, name: string): End {
  if (parent.isOrphan) throw new PosixError(ERRNO.ENOENT, "rename");
  const node = lookupNode(union, parent, name);
  return { parent, name, entry: union.indexOf(parent).get(name), node };
}

function checkTarget(union: Union, moved: Node, target: Node | null, flags: number): void {
  if ((flags & file.RENAME_EXCHANGE) !== 0) {
    if (target === null) throw new PosixError(ERRNO.ENOENT, "rename");
    return;
  }
  if (target === null) return;
  if ((flags & file.RENAME_NOREPLACE) !== 0) throw new PosixError(ERRNO.EEXIST, "rename");
  if (moved.isDirectory && !target.isDirectory) throw new PosixError(ERRNO.ENOTDIR, "rename");
  if (!moved.isDirectory && target.isDirectory) throw new PosixError(ERRNO.EISDIR, "rename");
  if (target.isDirectory && !union.indexOf(target).isEmpty) throw new PosixError(ERRNO.ENOTEMPTY, "rename");
}

function checkMovable(union: Union, { lowers }: Node): void {
  if (lowers.length === 0) return;
  if (!union.options.redirectDir) throw new PosixError(ERRNO.EXDEV, "rename");
}

/** Has a name in the upperdir that a rename can move. */
function bringUp(union: Union, upper: Upper, { node, parent, name }: End): void {
  if (node === null) return;
  copyUp(union, node);
  makeWhole(union, node); // a metacopy finds its content by its name
  linkUp(union, upper, node, parent, name);
}

function move(union: Union, upper: Upper, old: End, target: End): void {
  const { node } = old;
  if (node === null) return;
  const path = union.childPath(old.parent, old.name);
  const newPath = union.childPath(target.parent, target.name);
  const mustHide = (union.indexOf(old.parent).get(old.name)?.lowers.length ?? 0) > 0;
  markMoved(union, node, target);
  const wasUpper = target.entry?.upper === "present";
  makeWay(union, upper, node, target, newPath);
  if (node.isDirectory && target.node === null && target.entry?.upper === "whiteout") {
    if (mustHide) expectWhiteout(upper, path);
    file.renameAt(upper.layer.fd, path, upper.layer.fd, newPath, file.RENAME_EXCHANGE); // the whiteout goes to the old place
    if (!mustHide) file.unlinkAt(upper.layer.fd, path);
  } else if (mustHide) {
    moveAndHide(upper, path, newPath);
  } else {
    file.renameAt(upper.layer.fd, path, upper.layer.fd, newPath);
  }
  replace(union, upper, target, wasUpper);
  union.indexOf(old.parent).setAbsent(old.name, mustHide ? "whiteout" : "none");
  enter(union, old, target);
}

/** One step where the file system makes whiteouts of its own (ext4, xfs, btrfs, tmpfs), else two. */
function moveAndHide(upper: Upper, path: string, newPath: string): void {
  try {
    file.renameAt(upper.layer.fd, path, upper.layer.fd, newPath, file.RENAME_WHITEOUT);
    return;
  } catch (error) {
    if (!isErrno(error, "EINVAL", "EPERM")) throw error;
  }
  const temporary = upper.temporaryName();
  whiteoutIn(upper, temporary, path);
  try {
    file.renameAt(upper.layer.fd, path, upper.layer.fd, newPath);
    file.renameAt(upper.work.fd, temporary, upper.layer.fd, path);
  } catch (error) {
    discard(upper, temporary);
    throw error;
  }
}

/**
 * Makes way for a rename. A directory is renamed over in one step when nothing is in it, so the whiteouts in it go first;
 * it is made opaque before, so that what they hide is not seen when a server is killed in between.
 */
function makeWay(union: Union, upper: Upper, node: Node, { entry, node: target }: End, path: string): void {
  if (target === null || entry?.upper !== "present") return;
  if (target.names.length === 1) holdOrphan(union, target);
  if (!node.isDirectory) return;
  if (target.lowers.length > 0) setOpaque(union.xattrTargetOf(target), union.namespace);
  target.lowers = [];
  target.index = null;
  removeWhiteouts(upper, path);
}

/** The node that had the name has it no more. */
function replace(union: Union, upper: Upper, { parent, name, node }: End, wasUpper: boolean): void {
  if (node === null) return;
  union.nodes.detach(node, parent, name);
  if (node.isDirectory) node.index = null;
  else if (!wasUpper) changeExtraNames(union, upper, node, -1);
  if (node.indexName !== null) dropIndexed(union, upper, node);
}

/** The node has its new name. */
function enter(union: Union, old: End, target: End): void {
  const { node } = old;
  if (node === null) return;
  union.nodes.detach(node, old.parent, old.name);
  union.nodes.attach(node, target.parent, target.name);
  union.indexOf(target.parent).setPresent(target.name, node.type >> 12, node.ino);
  node.hiddenChange = null;
  if (node.isDirectory) node.inheritance = null;
  else if (old.parent.isImpure !== false && old.parent !== target.parent) markImpure(union, target.parent);
}

function exchange(union: Union, upper: Upper, old: End, target: End): void {
  if (old.node === null || target.node === null) return;
  markMoved(union, old.node, target);
  markMoved(union, target.node, old);
  const [path, newPath] = [union.childPath(old.parent, old.name), union.childPath(target.parent, target.name)];
  file.renameAt(upper.layer.fd, path, upper.layer.fd, newPath, file.RENAME_EXCHANGE);
  union.nodes.detach(target.node, target.parent, target.name);
  enter(union, old, target);
  target.node.hiddenChange = null;
  union.nodes.attach(target.node, old.parent, old.name);
  union.indexOf(old.parent).setPresent(old.name, target.node.type >> 12, target.node.ino);
  if (!target.node.isDirectory && target.parent.isImpure !== false && old.parent !== target.parent) {
    markImpure(union, old.parent);
  }
}

/**
 * Before a directory moves: one with lower parts says where they are, one without must not be merged with what lies below
 * its new place.
 */
function markMoved(union: Union, node: Node, { parent, name, entry }: End): void {
  if (!node.isDirectory) return;
  const target = union.xattrTargetOf(node);
  if (node.lowers.length === 0) {
    if (entry !== undefined && entry.lowers.length > 0) setOpaque(target, union.namespace);
    return;
  }
  const attribute = overlayXattr(union.namespace, "redirect");
  const known = getXattr(target, attribute)?.toString("latin1");
  if (known?.startsWith("/")) return;
  const [first] = node.names;
  const isSibling = first?.parent === parent;
  const redirect = isSibling ? (known ?? first?.name ?? name) : absoluteOf(union, node);
  if (redirect.length > REDIRECT_MAX) throw new PosixError(ERRNO.EXDEV, "rename");
  setXattr(target, attribute, Buffer.from(redirect, "latin1"));
  markImpure(union, parent);
}

/** Where the lower parts of a directory are, as a path from the root of the lower layers. */
function absoluteOf(union: Union, node: Node): string {
  const names: string[] = [];
  for (let at: Node = node; ; ) {
    const [first] = at.names;
    if (first === undefined) break;
    const redirect =
      at.upper && at.lowers.length > 0
        ? getXattr(union.xattrTargetOf(at), overlayXattr(union.namespace, "redirect"))?.toString("latin1")
        : undefined;
    if (redirect?.startsWith("/")) return [redirect, ...names].join("/");
    names.unshift(redirect ?? first.name);
    at = first.parent;
  }
  return `/${names.join("/")}`;
}
