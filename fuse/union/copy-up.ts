/**
 * Copy-up: a file of a lower layer becomes one of the upperdir before it is changed (fs/overlayfs/copy_up.c). The copy is
 * made in the workdir and renamed into place when it is whole, so that a server that is killed leaves either nothing or
 * all of it. Descriptors that are open on the lower file are turned to the copy: who opened it for reading before sees
 * what is written afterwards, which kernel overlayfs does not do.
 */

import { isSystemError } from "../../src/errors.ts";
import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { joinHost } from "../../src/paths.ts";
import * as file from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { setTimesPartly } from "../../src/sys/times.ts";
import { setXattr } from "../../src/sys/xattr.ts";
import { hold, letGo } from "./content.ts";
import { nlinkOf, storeExtraNames } from "./hard-links.ts";
import { type HiddenChange, hiddenChange, hideChange, shownCtime } from "./hidden-change.ts";
import { type Copy, makeCopy, tryXattr, type Wanted } from "./make-copy.ts";
import type { Name, Node } from "./node.ts";
import type { Union } from "./union.ts";
import { discard, type Upper } from "./workdir.ts";

/**
 * Makes sure that `node` is in the upperdir, the directories above it too.
 * @throws PosixError `EROFS` on a read-only mount, `ENOSPC` and the like from the upperdir's file system
 */
export function copyUp(union: Union, node: Node, wanted: Wanted = "all"): Upper {
  if (node.upper) return union.writable();
  const upper = copyUpOpen(union, node, wanted);
  if (node.opens === 0) letGo(node);
  return upper;
}

/** As `copyUp`. A regular file that was copied is left open: for who goes on with it, and lets go of it then. */
export function copyUpOpen(union: Union, node: Node, wanted: Wanted = "all"): Upper {
  const upper = union.writable();
  if (node.upper) return upper;
  const [first] = node.names;
  if (first === undefined) {
    copyUnnamed(union, upper, node);
    return upper;
  }
  copyUp(union, first.parent);
  const copy = makeCopy(union, upper, node, wanted);
  try {
    place(union, upper, node, first, copy);
  } catch (error) {
    if (copy.fd >= 0 && node.fd !== copy.fd) file.close(copy.fd);
    discard(upper, copy.name);
    throw error;
  }
  return upper;
}

/** Puts the whole copy where it belongs, and lets everything know. */
function place(union: Union, upper: Upper, node: Node, { parent, name }: Name, copy: Copy): void {
  const { stat } = copy;
  const path = union.childPath(parent, name);
  const before = timesBefore(union, parent);
  const indexName = node.isDirectory || stat.nlink < 2 ? null : (copy.origin?.toString("hex") ?? null);
  if (indexName === null) {
    file.renameAt(upper.work.fd, copy.name, upper.layer.fd, path);
    if (!node.isDirectory && stat.nlink > 1) linkKnownNames(union, upper, node, stat, path);
    node.extraNames = 0;
  } else {
    // Until the link is made, one more name than there will be: too many only keep the copy in the index for longer.
    const extraNames = stat.nlink + node.extraNames - 2; // the copy has two links: the index's, and the one made here
    enterIndex(union, upper, node, copy, indexName, extraNames + 1);
    file.linkAt(upper.index.fd, indexName, upper.layer.fd, path);
    tryXattr(union, () => storeExtraNames(union, joinHost(upper.index.path, indexName), extraNames));
    node.extraNames = extraNames;
  }
  union.indexOf(parent).setPresent(name, node.type >> 12, node.ino);
  if (!node.isDirectory) markImpure(union, parent);
  keepTimes(union, parent, before);
  enter(union, node, copy);
  if (!node.isDirectory) node.lowers = node.type === file.S_IFREG ? node.lowers : [];
  if (node.isDirectory) hideChange(node, timesOf(node, stat));
  union.onSideEffect(node); // other blocks, another time of change
}

/** The node is the copy from now on, and so is a descriptor of it that is open. */
function enter(union: Union, node: Node, { fd }: Copy): void {
  node.upper = true;
  node.isWhole = true;
  if (union.hasLabels) node.hasNoXattrs = false;
  if (fd < 0) return;
  if (node.type !== file.S_IFREG) {
    file.close(fd); // a stand-in
    return;
  }
  if (node.fd >= 0) file.close(node.fd);
  node.fd = fd;
  node.isWritable = true;
}

/** Moves a copy into the index; it has `extraNames` names more than this link. */
function enterIndex(union: Union, upper: Upper, node: Node, copy: Copy, indexName: string, extraNames: number): void {
  tryXattr(union, () => storeExtraNames(union, copy.target, extraNames));
  file.renameAt(upper.work.fd, copy.name, upper.index.fd, indexName);
  upper.index.isUsed = true;
  node.indexName = indexName;
  node.extraNames = extraNames;
  union.nodes.setLink(node, `index:${indexName}`);
}

/**
 * Without file handles there is no index (layers that lie on an overlay, say). The names that are known become names of
 * the copy; one that is looked up later shows what is below, as in the kernel without an index.
 */
function linkKnownNames(union: Union, upper: Upper, node: Node, stat: Stat, path: string): void {
  for (const { parent, name } of node.names.slice(1)) {
    copyUp(union, parent);
    const before = timesBefore(union, parent);
    const temporary = upper.temporaryName();
    file.linkAt(upper.layer.fd, path, upper.work.fd, temporary);
    file.renameAt(upper.work.fd, temporary, upper.layer.fd, union.childPath(parent, name));
    union.indexOf(parent).setPresent(name, stat.mode >> 12, Number(stat.ino));
    keepTimes(union, parent, before);
  }
  const copy = statAt(upper.layer.fd, path);
  union.nodes.setLink(node, copy.nlink > 1 ? `${upper.layer.fileSystem}:${copy.ino}` : "");
}

type Times = Omit<HiddenChange, "changes">;

/** The times of a directory; known if nothing but copy-ups has changed it since they were looked at. @throws PosixError */
function timesBefore(union: Union, directory: Node): Times {
  return hiddenChange(directory) ?? timesOf(directory, union.statOf(directory));
}

function timesOf(node: Node, stat: Stat): Times {
  return { shownCtime: shownCtime(node, stat), mtime: { seconds: stat.mtimeSeconds, rest: stat.mtimeRest } };
}

/** Nothing was changed in a directory whose file was copied up. Best effort, as in the kernel. */
function keepTimes(union: Union, directory: Node, before: Times): void {
  const { fd, path } = union.placeOf(directory);
  try {
    setTimesPartly(fd, path, "keep", before.mtime);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
  hideChange(directory, before);
}

/**
 * A file that lost the names it was known by while it was below, and is still in use. If it has others its copy is in the
 * index, where they are found to be its names (`findIndexed`); else the copy has none either.
 */
function copyUnnamed(union: Union, upper: Upper, node: Node): void {
  const copy = makeCopy(union, upper, node, "all");
  try {
    const othersCount = nlinkOf(node, copy.stat);
    if (othersCount > 0 && copy.origin !== null) {
      enterIndex(union, upper, node, copy, copy.origin.toString("hex"), othersCount - 1);
    } else {
      node.extraNames = 0;
      union.nodes.setLink(node, ""); // other names of the lower file are not this one's
      if (node.type !== file.S_IFREG) hold(node, { fd: upper.work.fd, path: copy.name });
    }
    enter(union, node, copy);
  } catch (error) {
    if (copy.fd >= 0 && node.fd !== copy.fd) file.close(copy.fd);
    throw error;
  } finally {
    discard(upper, copy.name);
  }
}

/** Says that files of a directory may be copies: only then is `overlay.origin` looked at. */
export function markImpure(union: Union, directory: Node): void {
  if (directory.isImpure) return;
  tryXattr(union, () =>
    setXattr(union.xattrTargetOf(directory), overlayXattr(union.namespace, "impure"), Buffer.from("y")),
  );
  directory.isImpure = true;
}
