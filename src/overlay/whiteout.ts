/**
 * Whiteouts: what hides one lower entry. The usual form is a character device 0:0. The other is an empty regular file with
 * the attribute `overlay.whiteout` (Linux 6.7), for directories that lie on an overlay themselves, where mknod of 0:0 is
 * refused. overlayfs.rst, "whiteouts and opaque directories".
 */

import {
  close,
  mknodAt,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_RDWR,
  openAt,
  S_IFCHR,
  S_IFMT,
  S_IFREG,
  unlinkAt,
} from "../sys/file.ts";
import type { Stat } from "../sys/stat.ts";
import { getXattr, setXattr, type XattrTarget } from "../sys/xattr.ts";
import { type OverlayNamespace, overlayXattr } from "./xattr-names.ts";

/** True for a character device 0:0. */
export function isWhiteout(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
}

/** Makes the whiteout `name` in an open directory. @throws PosixError `EEXIST`, or `EPERM` on an overlay mount */
export function makeWhiteout(dirfd: number, name: string): void {
  mknodAt(dirfd, name, S_IFCHR, 0, 0);
}

/**
 * Makes the whiteout `name` in an open directory in the second form; the directory that it goes to must say that it may have
 * such (`expectXattrWhiteouts`). @throws PosixError
 */
export function makeXattrWhiteout(dirfd: number, name: string, namespace: OverlayNamespace): void {
  const fd = openAt(dirfd, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600);
  try {
    setXattr(fd, overlayXattr(namespace, "whiteout"), Buffer.from("y"));
  } catch (error) {
    unlinkAt(dirfd, name);
    throw error;
  } finally {
    close(fd);
  }
}

/** True for an empty regular file with the whiteout attribute. Costs a system call for empty files only. @throws PosixError */
export function isXattrWhiteout(target: XattrTarget, stat: Stat, namespace: OverlayNamespace): boolean {
  if ((stat.mode & S_IFMT) !== S_IFREG || stat.sizeBytes !== 0) return false;
  return getXattr(target, overlayXattr(namespace, "whiteout")) !== null;
}
