/** Where a regular file's bytes are, and the descriptor they are read and written through. */

import { isErrno, PosixError } from "../../src/errors.ts";
import { isMetacopy } from "../../src/overlay/metacopy.ts";
import { redirectOf } from "../../src/overlay/redirect.ts";
import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { syncFile } from "../../src/sys/data.ts";
import {
  AT_FDCWD,
  close,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  openAt,
  S_IFDIR,
  S_IFREG,
  setTimes,
} from "../../src/sys/file.ts";
import { statAt, statAtOrNull } from "../../src/sys/stat.ts";
import { getXattr, listXattrs, removeXattr, setXattr } from "../../src/sys/xattr.ts";
import { copyContent } from "./copy-content.ts";
import { ERRNO } from "./errno.ts";
import { childLocation, hostPathAt, type Location } from "./layer.ts";
import type { Node } from "./node.ts";
import { CAPABILITY } from "./ownership.ts";
import type { Place, Union } from "./union.ts";

/** True if a file of the upperdir has its content itself; false for a metacopy, which another server left. @throws PosixError */
export function isWhole(union: Union, node: Node): boolean {
  if (!node.isWhole) node.isWhole = node.upper && !isMetacopy(union.xattrTargetOf(node), union.namespace);
  return node.isWhole;
}

/** Where the content is: the file's own place, or for a copy of metadata alone a place further down. @throws PosixError */
export function contentPlace(union: Union, node: Node): Place {
  if (node.isWhole) return union.placeOf(node);
  const target = union.xattrTargetOf(node);
  if (!isMetacopy(target, union.namespace)) {
    node.isWhole = node.upper;
    return union.placeOf(node);
  }
  const [first] = node.names;
  if (first === undefined) throw new PosixError(ERRNO.EIO, "overlay metacopy");
  const redirect = redirectOf(target, union.namespace);
  const { layer, path } = contentBelow(union, first.parent, redirect ?? first.name, node.lowers[0]?.layer.index ?? -1);
  return { fd: layer.fd, path };
}

/** The first regular file with content below layer `above`. */
function contentBelow(union: Union, parent: Node, path: string, above: number): Location {
  const isAbsolute = path.startsWith("/");
  const directories = isAbsolute ? union.root.lowers : parent.lowers;
  for (const directory of directories) {
    if (directory.layer.index <= above) continue;
    const location = childLocation(directory, isAbsolute ? path.slice(1) : path);
    const stat = statAtOrNull(location.layer.fd, location.path);
    if (stat === null) continue;
    const target = hostPathAt(location.layer, location.path);
    if (!isMetacopy(target, union.namespace)) return location;
    const redirect = redirectOf(target, union.namespace);
    if (redirect === null) continue;
    const beside = path.slice(0, path.lastIndexOf("/") + 1);
    return contentBelow(union, parent, redirect.startsWith("/") ? redirect : beside + redirect, location.layer.index);
  }
  throw new PosixError(ERRNO.EIO, "overlay metacopy");
}

/**
 * The descriptor of an open regular file; opened when it is first needed and kept while the file is open or known.
 * @throws PosixError
 */
export function contentFd(union: Union, node: Node, forWriting: boolean): number {
  if (node.type !== S_IFREG) throw new PosixError(ERRNO.EBADF, "fuse");
  if (node.fd >= 0 && (!forWriting || node.isWritable)) return node.fd;
  if (forWriting) makeWhole(union, node);
  const before = node.fd;
  if (isWhole(union, node)) openUpper(node, union.placeOf(node), forWriting);
  else node.fd = openBelow(union, node);
  if (before >= 0 && before !== node.fd) close(before);
  union.openFiles.wasOpened(node.fd);
  return node.fd;
}

/**
 * Gives a metacopy of the upperdir its content, so that it can be written, or have another name. The mark goes last: until
 * then its content is still the one below. @throws PosixError
 */
export function makeWhole(union: Union, node: Node): void {
  if (!node.upper || node.type !== S_IFREG || isWhole(union, node)) return;
  const target = union.xattrTargetOf(node);
  const { atimeNs, mtimeNs } = union.statOf(node);
  const capabilityName = union.storedName(union.writable().layer, CAPABILITY);
  const capability = getXattr(target, capabilityName); // a write takes it away
  const from = openPlace(contentPlace(union, node), O_RDONLY);
  try {
    const to = openPlace(union.placeOf(node), O_WRONLY);
    try {
      copyContent(union.writable(), from, to, statAt(from, null));
      if (!union.options.volatile) syncFile(to);
      if (capability !== null) setXattr(target, capabilityName, capability);
      setTimes(to, null, atimeNs, mtimeNs);
      removeXattr(target, overlayXattr(union.namespace, "metacopy"));
    } finally {
      close(to);
    }
  } finally {
    close(from);
  }
  node.isWhole = true;
  if (node.fd >= 0) close(node.fd); // it was the one below
  node.fd = -1;
}

/** Opens for both, so that one descriptor serves every use; for less where the file's own mode allows no more. */
function openUpper(node: Node, place: Place, forWriting: boolean): void {
  try {
    node.fd = openPlace(place, O_RDWR);
    node.isWritable = true;
  } catch (error) {
    if (!isErrno(error, "EACCES", "EPERM", "EROFS", "ETXTBSY")) throw error;
    node.fd = openPlace(place, forWriting ? O_WRONLY : O_RDONLY);
    node.isWritable = forWriting;
  }
}

/**
 * The content in a lower layer. Whether it is there is asked of the open file: a path would be walked once more. One that
 * has no attributes at all, as most, is found out by the same number of calls.
 */
function openBelow(union: Union, node: Node): number {
  if (node.upper) return openLower(contentPlace(union, node));
  const fd = openLower(union.placeOf(node));
  let isThere = false;
  try {
    node.hasNoXattrs ||= listXattrs(fd).length === 0;
    isThere = node.hasNoXattrs || !isMetacopy(fd, union.namespace);
  } finally {
    if (!isThere) close(fd);
  }
  return isThere ? fd : openLower(contentPlace(union, node));
}

/** Without touching its access time, which is the layer's, where we may. */
function openLower(place: Place): number {
  try {
    return openPlace(place, O_RDONLY | O_NOATIME);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    return openPlace(place, O_RDONLY);
  }
}

function openPlace({ fd, path }: Place, flags: number): number {
  if (path !== null) return openAt(fd, path, flags | O_NOFOLLOW | O_NONBLOCK);
  return openAt(AT_FDCWD, `/proc/self/fd/${fd}`, flags | O_NONBLOCK);
}

/** Opens what has the content of a file, for reading and for the caller to close. @throws PosixError */
export function openContent(union: Union, node: Node): number {
  return openPlace(contentPlace(union, node), O_RDONLY);
}

/** Takes hold of a file of the upperdir that is about to lose its last name. */
export function holdOrphan(union: Union, node: Node): void {
  if (!node.upper || node.indexName !== null || node.fd >= 0) return;
  if (node.type === S_IFREG && !isWhole(union, node))
    contentFd(union, node, false); // found by its name, and only now
  else hold(node, union.placeOf(node));
}

/** Opens what is at `place` as all that will be left of a file: for its content where it has some and we may. */
export function hold(node: Node, place: Place): void {
  if (node.type === S_IFREG) {
    try {
      openUpper(node, place, false);
      return;
    } catch (error) {
      if (!isErrno(error, "EACCES", "EPERM")) throw error;
    }
  }
  node.fd = openAt(place.fd, place.path ?? ".", (node.type === S_IFDIR ? O_RDONLY : O_PATH) | O_NOFOLLOW);
  node.isWritable = false;
}

/** Closes what is open, unless it is all that is left of the file. */
export function letGo(node: Node): void {
  if (node.fd < 0 || (node.isOrphan && node.upper) || node.type !== S_IFREG) return;
  close(node.fd);
  node.fd = -1;
  node.isWritable = false;
}
