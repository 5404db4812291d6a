/**
 * Copy-up: a file of a lower layer becomes one of the upperdir before it is changed (fs/overlayfs/copy_up.c). The copy is
 * made in the workdir and renamed into place when it is whole, so that a server that is killed leaves either nothing or
 * all of it. Descriptors that are open on the lower file are turned to the copy: who opened it for reading before sees
 * what is written afterwards, which kernel overlayfs does not do.
 */

import { constants } from "node:os";
import { isErrno, isSystemError, PosixError } from "../../src/errors.ts";
import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { dataExtents, reflink } from "../../src/sys/copy.ts";
import { copyRangeAt, readAt, replaceDescriptor, writeAt } from "../../src/sys/data.ts";
import * as file from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { getXattr, listXattrs, setXattr, type XattrTarget } from "../../src/sys/xattr.ts";
import { contentFd } from "./content.ts";
import { indexNameOf } from "./hard-links.ts";
import { hostPathAt, type Location } from "./layer.ts";
import type { Node } from "./node.ts";
import { markOrigin, originOf } from "./origin.ts";
import type { Union } from "./union.ts";
import { discard, type Upper } from "./workdir.ts";

/** Of overlayfs' own attributes, what must not be copied: they speak of the place they are at. */
const PRIVATE = [
  "opaque",
  "redirect",
  "metacopy",
  "whiteout",
  "origin",
  "impure",
  "nlink",
  "upper",
  "uuid",
  "protattr",
];
const CHUNK_BYTES = 8 << 20;
const BUFFER_BYTES = 1 << 20;
const SMALL_BYTES = 128 << 10;
const { EIO } = constants.errno;

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
  if (lower === undefined) throw new PosixError(EIO, "copy-up");
  if (first === undefined) {
    copyUnnamed(union, upper, node, lower);
    return upper;
  }
  copyUp(union, first.parent);
  const stat = statAt(lower.layer.fd, lower.path);
  const temporary = upper.temporaryName();
  try {
    makeCopy(union, upper, node, lower, stat, temporary, wanted);
    const copy = joinHost(upper.work.path, temporary);
    copyMetadata(union, upper, temporary, lower, stat, node.type);
    const origin = node.isDirectory ? null : originOf(lower);
    if (origin !== null) tryXattr(union, () => markOrigin(union, copy, origin));
    place(union, upper, node, stat, temporary, lower);
  } catch (error) {
    discard(upper, temporary);
    throw error;
  }
  return upper;
}

/** Puts the whole copy where it belongs, and lets everything know. */
function place(union: Union, upper: Upper, node: Node, stat: Stat, temporary: string, lower: Location): void {
  const [first] = node.names;
  if (first === undefined) throw new PosixError(EIO, "copy-up");
  const { parent, name } = first;
  const path = union.childPath(parent, name);
  const indexName = node.isDirectory || stat.nlink < 2 ? null : indexNameOf(lower);
  if (indexName === null) {
    node.extraNames = 0;
    file.renameAt(upper.work.fd, temporary, upper.layer.fd, path);
  } else {
    const extraNames = stat.nlink + node.extraNames - 2; // the copy has two links: the index's, and the one made here
    const value = Buffer.from(`U${extraNames < 0 ? "" : "+"}${extraNames}`);
    tryXattr(union, () =>
      setXattr(joinHost(upper.work.path, temporary), overlayXattr(union.namespace, "nlink"), value),
    );
    file.renameAt(upper.work.fd, temporary, upper.index.fd, indexName);
    file.linkAt(upper.index.fd, indexName, upper.layer.fd, path);
    upper.index.isUsed = true;
    node.indexName = indexName;
    node.extraNames = extraNames;
    union.nodes.setLink(node, `index:${indexName}`);
  }
  union.indexOf(parent).setPresent(name, node.type >> 12, node.ino);
  if (!node.isDirectory) markImpure(union, parent);
  node.upper = true;
  if (!node.isDirectory) node.lowers = node.type === file.S_IFREG ? node.lowers : [];
  turnDescriptor(union, node);
}

/** A file that lost its name while it was below, and is still open: its copy has none either. */
function copyUnnamed(union: Union, upper: Upper, node: Node, lower: Location): void {
  const stat = statAt(lower.layer.fd, lower.path);
  const temporary = upper.temporaryName();
  try {
    makeCopy(union, upper, node, lower, stat, temporary, "all");
    copyMetadata(union, upper, temporary, lower, stat, node.type);
    const flags = node.type === file.S_IFREG ? file.O_RDWR | file.O_NONBLOCK : file.O_PATH;
    const fd = file.openAt(upper.work.fd, temporary, flags | file.O_NOFOLLOW);
    if (node.fd >= 0) file.close(node.fd);
    node.fd = fd;
    node.isWritable = node.type === file.S_IFREG;
    node.upper = true;
    node.extraNames = 0;
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
  const { work } = upper;
  const mode = stat.mode & 0o7777;
  switch (node.type) {
    case file.S_IFDIR:
      file.mkdirAt(work.fd, name, mode | 0o700);
      return;
    case file.S_IFLNK:
      file.symlinkAt(file.readlinkAt(lower.layer.fd, lower.path), work.fd, name);
      return;
    case file.S_IFREG: {
      const fd = file.openAt(work.fd, name, file.O_CREAT | file.O_EXCL | file.O_RDWR, 0o600);
      try {
        if (wanted === "all") copyContent(upper, contentFd(union, node, false), fd, stat);
      } finally {
        file.close(fd);
        closeUnlessOpen(node);
      }
      return;
    }
    default:
      file.mknodAt(work.fd, name, stat.mode, stat.rdevMajor, stat.rdevMinor);
  }
}

/** The lower descriptor was opened for the copy alone. */
function closeUnlessOpen(node: Node): void {
  if (node.opens > 0 || node.fd < 0) return;
  file.close(node.fd);
  node.fd = -1;
}

/**
 * Shares the extents where the file system can, else copies them inside the kernel, holes left out; a small file without
 * holes is faster read and written.
 */
function copyContent(upper: Upper, from: number, to: number, stat: Stat): void {
  const { sizeBytes } = stat;
  if (sizeBytes === 0) return;
  if (sizeBytes <= SMALL_BYTES && stat.blocks512 * 512 >= sizeBytes) {
    copyThroughUs(from, to, 0, sizeBytes);
    return;
  }
  if (upper.sharesExtents) {
    upper.sharesExtents = reflink(from, to);
    if (upper.sharesExtents) return;
  }
  for (const [start, end] of dataExtents(from, sizeBytes)) copyExtent(from, to, start, end);
  file.truncate(to, sizeBytes);
}

function copyExtent(from: number, to: number, start: number, end: number): void {
  let at = start;
  try {
    while (at < end) {
      const size = copyRangeAt(from, at, to, at, Math.min(CHUNK_BYTES, end - at));
      if (size === 0) return;
      at += size;
    }
  } catch (error) {
    if (!isErrno(error, "EXDEV", "EINVAL", "ENOTSUP", "ENOSYS", "EPERM")) throw error;
    copyThroughUs(from, to, at, end);
  }
}

let copyBuffer: Buffer | undefined;

function copyThroughUs(from: number, to: number, start: number, end: number): void {
  copyBuffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
  for (let at = start; at < end; ) {
    const size = readAt(from, copyBuffer, Math.min(copyBuffer.length, end - at), at);
    if (size === 0) return;
    for (let done = 0; done < size; ) done += writeAt(to, copyBuffer.subarray(done), size - done, at + done);
    at += size;
  }
}

/** Owner, attributes, mode and times, in the order in which none undoes another. */
function copyMetadata(union: Union, upper: Upper, name: string, lower: Location, stat: Stat, type: number): void {
  const { work } = upper;
  if (process.geteuid?.() === 0) file.chown(work.fd, name, stat.uid, stat.gid);
  copyXattrs(union, hostPathAt(lower.layer, lower.path), joinHost(work.path, name));
  if (type !== file.S_IFLNK) file.chmod(work.fd, name, stat.mode);
  file.setTimes(work.fd, name, stat.atimeNs, stat.mtimeNs);
}

function copyXattrs(union: Union, from: XattrTarget, to: HostPath): void {
  const skipped = PRIVATE.map((name) => `${union.namespace}.overlay.${name}`);
  for (const name of listXattrs(from)) {
    if (skipped.includes(name)) continue;
    const value = getXattr(from, name);
    if (value !== null) tryXattr(union, () => setXattr(to, name, value));
  }
}

/** Sets an attribute; one that this process or this file system may not set is left out, and said. */
function tryXattr(union: Union, set: () => void): void {
  try {
    set();
  } catch (error) {
    if (!isSystemError(error) || !isErrno(error, "EPERM", "ENOTSUP", "EINVAL", "ENOSPC", "E2BIG")) throw error;
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
