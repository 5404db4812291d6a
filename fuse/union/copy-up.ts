/**
 * Copy-up: a file of a lower layer becomes one of the upperdir before it is changed (fs/overlayfs/copy_up.c). The copy is
 * made in the workdir and renamed into place when it is whole, so that a server that is killed leaves either nothing or
 * all of it. Descriptors that are open on the lower file are turned to the copy: who opened it for reading before sees
 * what is written afterwards, which kernel overlayfs does not do.
 */

import { isErrno, isSystemError, PosixError } from "../../src/errors.ts";
import { shownXattr } from "../../src/overlay/override-names.ts";
import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { replaceDescriptor, startWriting } from "../../src/sys/data.ts";
import * as file from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { setTimesPartly } from "../../src/sys/times.ts";
import { getXattr, listXattrs, setXattr } from "../../src/sys/xattr.ts";
import { contentFd, hold } from "./content.ts";
import { copyContent } from "./copy-content.ts";
import { ERRNO } from "./errno.ts";
import { indexNameOf, nlinkOf, storeExtraNames } from "./hard-links.ts";
import { hideChange } from "./hidden-change.ts";
import { hostPathAt, type Location } from "./layer.ts";
import type { Node } from "./node.ts";
import { markOrigin, originOf } from "./origin.ts";
import { backingMode, putOwnership, statIn } from "./ownership.ts";
import type { Union } from "./union.ts";
import { discard, type Upper } from "./workdir.ts";

/** How much of a regular file's content its copy needs. */
export type Wanted = "all" | "nothing";

/**
 * Makes sure that `node` is in the upperdir, the directories above it too.
 * @throws PosixError `EROFS` on a read-only mount, `ENOSPC` and the like from the upperdir's file system
 */
export function copyUp(union: Union, node: Node, wanted: Wanted = "all"): Upper {
  const upper = union.writable();
  if (node.upper) return upper;
  const [first] = node.names;
  const lower = node.lowers[0];
  if (lower === undefined) throw new PosixError(ERRNO.EIO, "copy-up");
  if (first === undefined) {
    copyUnnamed(union, upper, node, lower);
    return upper;
  }
  copyUp(union, first.parent);
  const stat = statIn(lower);
  const prepared = wanted === "all" ? takePrepared(union, node) : null;
  const temporary = prepared ?? upper.temporaryName();
  try {
    if (prepared === null) makeCopy(union, upper, node, lower, stat, temporary, wanted);
    const copy = joinHost(upper.work.path, temporary);
    copyMetadata(union, upper, temporary, lower, stat, node.type, wanted);
    const origin = node.isDirectory ? null : originOf(lower);
    if (origin !== null) tryXattr(union, () => markOrigin(union, copy, origin));
    place(union, upper, node, stat, temporary, lower);
  } catch (error) {
    discard(upper, temporary);
    throw error;
  }
  return upper;
}

/** A file in the workdir that has the content of `node` already (`fuse/server/large-copies.ts`). */
function takePrepared({ prepared }: Union, node: Node): string | null {
  const name = prepared.get(node) ?? null;
  prepared.delete(node);
  return name;
}

/** Puts the whole copy where it belongs, and lets everything know. */
function place(union: Union, upper: Upper, node: Node, stat: Stat, temporary: string, lower: Location): void {
  const [first] = node.names;
  if (first === undefined) throw new PosixError(ERRNO.EIO, "copy-up");
  const { parent, name } = first;
  const path = union.childPath(parent, name);
  const before = union.statOf(parent);
  const indexName = node.isDirectory || stat.nlink < 2 ? null : indexNameOf(lower);
  if (indexName === null) {
    file.renameAt(upper.work.fd, temporary, upper.layer.fd, path);
    if (!node.isDirectory && stat.nlink > 1) linkKnownNames(union, upper, node, stat, path);
    node.extraNames = 0;
  } else {
    // Until the link is made, one more name than there will be: too many only keep the copy in the index for longer.
    const extraNames = stat.nlink + node.extraNames - 2; // the copy has two links: the index's, and the one made here
    enterIndex(union, upper, node, temporary, indexName, extraNames + 1);
    file.linkAt(upper.index.fd, indexName, upper.layer.fd, path);
    tryXattr(union, () => storeExtraNames(union, joinHost(upper.index.path, indexName), extraNames));
    node.extraNames = extraNames;
  }
  union.indexOf(parent).setPresent(name, node.type >> 12, node.ino);
  if (!node.isDirectory) markImpure(union, parent);
  keepTimes(union, parent, before);
  node.upper = true;
  node.isWhole = true;
  if (!node.isDirectory) node.lowers = node.type === file.S_IFREG ? node.lowers : [];
  turnDescriptor(union, node);
  if (node.isDirectory) hideChange(node, stat, union.statOf(node));
  union.onSideEffect(node); // other blocks, another time of change
}

/** Moves a copy into the index; it has `extraNames` names more than this link. */
function enterIndex(
  union: Union,
  upper: Upper,
  node: Node,
  temporary: string,
  indexName: string,
  extraNames: number,
): void {
  tryXattr(union, () => storeExtraNames(union, joinHost(upper.work.path, temporary), extraNames));
  file.renameAt(upper.work.fd, temporary, upper.index.fd, indexName);
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
    const before = union.statOf(parent);
    const temporary = upper.temporaryName();
    file.linkAt(upper.layer.fd, path, upper.work.fd, temporary);
    file.renameAt(upper.work.fd, temporary, upper.layer.fd, union.childPath(parent, name));
    union.indexOf(parent).setPresent(name, stat.mode >> 12, Number(stat.ino));
    keepTimes(union, parent, before);
  }
  const copy = statAt(upper.layer.fd, path);
  union.nodes.setLink(node, copy.nlink > 1 ? `${upper.layer.fileSystem}:${copy.ino}` : "");
}

/** Nothing was changed in a directory whose file was copied up. Best effort, as in the kernel. */
function keepTimes(union: Union, directory: Node, before: Stat): void {
  const { fd, path } = union.placeOf(directory);
  try {
    file.setTimes(fd, path, before.atimeNs, before.mtimeNs);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
  hideChange(directory, before, union.statOf(directory));
}

/**
 * A file that lost the names it was known by while it was below, and is still in use. If it has others its copy is in the
 * index, where they are found to be its names (`findIndexed`); else the copy has none either.
 */
function copyUnnamed(union: Union, upper: Upper, node: Node, lower: Location): void {
  const stat = statIn(lower);
  const prepared = takePrepared(union, node);
  const temporary = prepared ?? upper.temporaryName();
  try {
    if (prepared === null) makeCopy(union, upper, node, lower, stat, temporary, "all");
    copyMetadata(union, upper, temporary, lower, stat, node.type, "all");
    const othersCount = nlinkOf(node, stat);
    const origin = othersCount > 0 ? originOf(lower) : null;
    if (origin === null) {
      if (node.fd >= 0) file.close(node.fd);
      hold(node, { fd: upper.work.fd, path: temporary });
      node.extraNames = 0;
      union.nodes.setLink(node, ""); // other names of the lower file are not this one's
    } else {
      tryXattr(union, () => markOrigin(union, joinHost(upper.work.path, temporary), origin));
      enterIndex(union, upper, node, temporary, origin.toString("hex"), othersCount - 1);
    }
    node.upper = true;
    node.isWhole = true;
    if (node.indexName !== null) turnDescriptor(union, node);
  } finally {
    discard(upper, temporary);
  }
}

/** An open descriptor of the lower file becomes one of the copy. */
function turnDescriptor(union: Union, node: Node): void {
  if (node.fd < 0 || node.isDirectory) return;
  const before = node.fd;
  node.fd = -1;
  node.isWritable = false;
  const fd = contentFd(union, node, false);
  replaceDescriptor(fd, before);
  file.close(fd);
  node.fd = before;
}

function makeCopy(
  union: Union,
  upper: Upper,
  node: Node,
  lower: Location,
  stat: Stat,
  name: string,
  wanted: Wanted,
): void {
  const { work, layer } = upper;
  const mode = backingMode(layer, stat.mode);
  switch (mode & file.S_IFMT) {
    case file.S_IFDIR:
      file.mkdirAt(work.fd, name, (mode & 0o7777) | 0o700);
      return;
    case file.S_IFLNK:
      file.symlinkAt(file.readlinkAt(lower.layer.fd, lower.path), work.fd, name);
      return;
    case file.S_IFREG: {
      const fd = file.openAt(work.fd, name, file.O_CREAT | file.O_EXCL | file.O_RDWR, 0o600);
      try {
        if (wanted === "all" && node.type === file.S_IFREG) copyContent(upper, contentFd(union, node, false), fd, stat);
        if (!union.options.volatile) startWriting(fd); // or a power cut may leave the name without the content
      } finally {
        file.close(fd);
        closeUnlessOpen(node);
      }
      return;
    }
    default:
      file.mknodAt(work.fd, name, mode, stat.rdevMajor, stat.rdevMinor);
  }
}

/** The lower descriptor was opened for the copy alone. */
function closeUnlessOpen(node: Node): void {
  if (node.opens > 0 || node.fd < 0) return;
  file.close(node.fd);
  node.fd = -1;
}

/** Owner, attributes, mode and times, in the order in which none undoes another. */
function copyMetadata(
  union: Union,
  upper: Upper,
  name: string,
  lower: Location,
  stat: Stat,
  type: number,
  wanted: Wanted,
): void {
  const { work, layer } = upper;
  const copy = { place: { fd: work.fd, path: name }, target: joinHost(work.path, name) };
  const isKept = putOwnership(layer, copy, { ...stat, rdev: [stat.rdevMajor, stat.rdevMinor] });
  if (!isKept && process.geteuid?.() === 0) file.chown(work.fd, name, stat.uid, stat.gid);
  copyXattrs(union, upper, lower, copy.target);
  if (type !== file.S_IFLNK) file.chmod(work.fd, name, backingMode(layer, stat.mode));
  if (wanted === "all") file.setTimes(work.fd, name, stat.atimeNs, stat.mtimeNs);
  else setTimesPartly(work.fd, name, { seconds: stat.atimeSeconds, rest: stat.atimeRest }, "keep"); // truncated: that is now
}

function copyXattrs(union: Union, { layer }: Upper, lower: Location, to: HostPath): void {
  const from = hostPathAt(lower.layer, lower.path);
  for (const name of listXattrs(from)) {
    const shown = shownXattr(name, union.namespace, lower.layer.override);
    if (shown === null) continue; // a layer's own speak of the place they are at
    if (!union.hasAcls && union.storedName(layer, shown).startsWith("system.")) continue;
    const value = getXattr(from, name);
    const set = (): void => setXattr(to, union.storedName(layer, shown), value ?? Buffer.alloc(0));
    if (value !== null) tryXattr(union, set, "EPERM", "ENOTSUP", "EINVAL");
  }
}

/** What keeps an attribute from being set that the tree is the same without. */
const DISPENSABLE = ["EPERM", "ENOTSUP", "EINVAL", "ENOSPC", "EDQUOT", "E2BIG"] as const;

/** Sets an attribute; one that cannot be set for one of these reasons is left out, and said. */
function tryXattr(union: Union, set: () => void, ...reasons: readonly string[]): void {
  try {
    set();
  } catch (error) {
    if (!isSystemError(error) || !isErrno(error, ...(reasons.length > 0 ? reasons : DISPENSABLE))) throw error;
    union.log.warn("copy-up.xattr.skipped", { code: error.code, path: error.path });
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
