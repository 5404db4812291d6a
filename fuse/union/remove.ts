/** Removing names: what is below is hidden by a whiteout, and is not copied up first (fs/overlayfs/dir.c, `ovl_do_remove`). */

import { isErrno, PosixError } from "../../src/errors.ts";
import { expectXattrWhiteouts } from "../../src/overlay/opaque.ts";
import { makeXattrWhiteout } from "../../src/overlay/whiteout.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import * as file from "../../src/sys/file.ts";
import { hold, holdOrphan } from "./content.ts";
import { copyUp } from "./copy-up.ts";
import { isVisible } from "./directory-index.ts";
import { ERRNO } from "./errno.ts";
import { changeExtraNames, dropFromIndex, nlinkOf } from "./hard-links.ts";
import { hostPathAt } from "./layer.ts";
import { lookupNode } from "./lookup.ts";
import type { Node } from "./node.ts";
import type { Union } from "./union.ts";
import { discard, linkWhiteout, type Upper } from "./workdir.ts";

/** unlink(2). @throws PosixError `ENOENT`, `EISDIR`, `EROFS` */
export function unlink(union: Union, parent: Node, name: string): void {
  union.writable();
  const node = lookupNode(union, parent, name);
  if (node === null) throw new PosixError(ERRNO.ENOENT, "unlink");
  if (node.isDirectory) throw new PosixError(ERRNO.EISDIR, "unlink");
  removeName(union, parent, name, node);
}

/** rmdir(2). @throws PosixError `ENOENT`, `ENOTDIR`, `ENOTEMPTY`, `EROFS` */
export function rmdir(union: Union, parent: Node, name: string): void {
  union.writable();
  const node = lookupNode(union, parent, name);
  if (node === null) throw new PosixError(ERRNO.ENOENT, "rmdir");
  if (!node.isDirectory) throw new PosixError(ERRNO.ENOTDIR, "rmdir");
  if (!union.indexOf(node).isEmpty) throw new PosixError(ERRNO.ENOTEMPTY, "rmdir");
  removeName(union, parent, name, node);
}

function removeName(union: Union, parent: Node, name: string, node: Node): void {
  const upper = copyUp(union, parent);
  const index = union.indexOf(parent);
  const entry = index.get(name);
  if (entry === undefined || !isVisible(entry)) throw new PosixError(ERRNO.ENOENT, "remove");
  const path = union.childPath(parent, name);
  const mustHide = entry.lowers.length > 0;
  const isInUpper = entry.upper === "present";
  if (isInUpper && node.names.length === 1) holdOrphan(union, node);
  if (isInUpper) takeFromUpper(upper, path, node.isDirectory, mustHide);
  else whiteoutAt(upper, path);
  index.setAbsent(name, mustHide ? "whiteout" : "none");
  union.nodes.detach(node, parent, name);
  if (node.isDirectory) node.index = null;
  else if (!isInUpper) changeExtraNames(union, upper, node, -1);
  if (node.indexName !== null) dropIndexed(union, upper, node);
}

/** Drops the copy in the index with its last name; who has the file open keeps it. */
export function dropIndexed(union: Union, upper: Upper, node: Node): void {
  const stat = union.statOf(node);
  const { indexName } = node;
  if (indexName !== null && nlinkOf(node, stat) === 0 && node.fd < 0)
    hold(node, { fd: upper.index.fd, path: indexName });
  dropFromIndex(upper, node, stat);
}

function takeFromUpper(upper: Upper, path: string, isDirectory: boolean, mustHide: boolean): void {
  if (!mustHide && !isDirectory) {
    file.unlinkAt(upper.layer.fd, path);
    return;
  }
  if (!mustHide) {
    removeDirectory(upper, path);
    return;
  }
  const temporary = upper.temporaryName();
  whiteoutIn(upper, temporary, path);
  file.renameAt(upper.work.fd, temporary, upper.layer.fd, path, isDirectory ? file.RENAME_EXCHANGE : 0);
  if (isDirectory) discard(upper, temporary);
}

/** An empty directory; one that looks empty may still have whiteouts in it. */
function removeDirectory(upper: Upper, path: string): void {
  try {
    file.unlinkAt(upper.layer.fd, path, file.AT_REMOVEDIR);
  } catch (error) {
    if (!isErrno(error, "ENOTEMPTY", "EEXIST")) throw error;
    const temporary = upper.temporaryName();
    file.renameAt(upper.layer.fd, path, upper.work.fd, temporary);
    discard(upper, temporary);
  }
}

/** Removes what is in a directory of the upperdir that looks empty. */
export function removeWhiteouts(upper: Upper, path: string): void {
  for (const { name } of listDirectory(hostPathAt(upper.layer, path))) file.unlinkAt(upper.layer.fd, `${path}/${name}`);
}

/** Hides a name that the upperdir does not have. */
export function whiteoutAt(upper: Upper, path: string): void {
  expectWhiteout(upper, path);
  make(upper, upper.layer.fd, path);
}

/** Makes a whiteout in the workdir that is to be moved to `path` of the upperdir. */
export function whiteoutIn(upper: Upper, name: string, path: string): void {
  expectWhiteout(upper, path);
  make(upper, upper.work.fd, name);
}

/** Readies the directory above `path` of the upperdir for a whiteout. */
export function expectWhiteout({ layer, xattrWhiteouts }: Upper, path: string): void {
  if (xattrWhiteouts === null) return;
  const parent = path.slice(0, Math.max(0, path.lastIndexOf("/"))) || ".";
  expectXattrWhiteouts(hostPathAt(layer, parent), xattrWhiteouts);
}

function make(upper: Upper, dirfd: number, path: string): void {
  if (upper.xattrWhiteouts === null) linkWhiteout(upper, dirfd, path);
  else makeXattrWhiteout(dirfd, path, upper.xattrWhiteouts);
}
