/**
 * Owner, mode, attributes and times of what has been unpacked. Order matters: owner before mode (chown clears setuid),
 * data and owner before security.capability (both clear it), mode before ACLs (chmod rewrites their mask), times last.
 */

import { statfsSync } from "node:fs";
import { IntegrityError, isErrno } from "../../src/errors.ts";
import { escapeXattr } from "../../src/overlay/escape.ts";
import { OPAQUE_XATTR } from "../../src/overlay/opaque.ts";
import { bytesOf, display } from "../../src/paths.ts";
import { chmod, chown, setTimes } from "../../src/sys/file.ts";
import { listXattrs, removeXattr, setXattr, type XattrTarget, xattrTargetAt } from "../../src/sys/xattr.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { DirectoryRecord } from "./directory-record.ts";
import type { SkippedXattrs } from "./skipped-xattrs.ts";

const SETID_BITS = 0o6000;

/** For messages. */
type Named = Pick<TarEntry, "path">;

/** Of an open regular file that was created with its mode, by root: most files need no more than their time. */
export function restoreFile(fd: number, entry: TarEntry, skipped: SkippedXattrs): void {
  if (!belongsToRoot(entry)) {
    chown(fd, null, entry.uid, entry.gid);
    if (entry.mode & SETID_BITS) chmod(fd, null, entry.mode);
  }
  if (entry.xattrs.size > 0) restoreXattrs(fd, entry, skipped);
  setTimes(fd, null, entry.mtimeNs, entry.mtimeNs);
}

/** Of a directory that the tar lists; again it gets the metadata of the last time alone. */
export function restoreDirectory(dirfd: number, name: string, record: DirectoryRecord, skipped: SkippedXattrs): void {
  const { path, metadata, isAgain } = record;
  if (metadata === null) throw new TypeError("the tar does not list it");
  chown(dirfd, name, metadata.uid, metadata.gid);
  if (isAgain) clearXattrs(xattrTargetAt(dirfd, name));
  chmod(dirfd, name, metadata.mode);
  const { xattrs, mtimeNs } = metadata;
  if (xattrs.size > 0) restoreXattrs(xattrTargetAt(dirfd, name), { path, xattrs }, skipped);
  setTimes(dirfd, name, mtimeNs, mtimeNs);
}

/** All but what a layer means by it, and what the kernel's security modules put there. */
function clearXattrs(target: XattrTarget): void {
  for (const name of listXattrs(target)) {
    if (name === OPAQUE_XATTR) continue;
    try {
      removeXattr(target, name);
    } catch (error) {
      if (!name.startsWith("security.") || !isErrno(error, "EACCES", "EPERM", "ENOTSUP")) throw error;
    }
  }
}

/** Of a symbolic link, device or fifo, which cannot be opened. */
export function restoreNode(dirfd: number, name: string, entry: TarEntry, skipped: SkippedXattrs): void {
  if (!belongsToRoot(entry)) chown(dirfd, name, entry.uid, entry.gid);
  if (entry.type !== "symlink") chmod(dirfd, name, entry.mode);
  if (entry.xattrs.size > 0) restoreXattrs(xattrTargetAt(dirfd, name), entry, skipped);
  setTimes(dirfd, name, entry.mtimeNs, entry.mtimeNs);
}

function belongsToRoot(entry: TarEntry): boolean {
  return entry.uid === 0 && entry.gid === 0;
}

function restoreXattrs(target: XattrTarget, entry: Pick<TarEntry, "xattrs"> & Named, skipped: SkippedXattrs): void {
  for (const [name, value] of entry.xattrs) {
    try {
      setXattr(target, escapeXattr(name), value);
    } catch (error) {
      if (skipped.take(name, entry, error)) continue;
      const refused = isErrno(error, "ENOTSUP", "EINVAL", "ERANGE", "E2BIG", "EPERM", "EACCES");
      // ext4 keeps the attributes of a file in one block, and says ENOSPC to more than that takes.
      if (!refused && !(isErrno(error, "ENOSPC") && hasSpace(target))) throw error;
      const [path, shown] = [display(entry.path), display(name)];
      throw new IntegrityError(
        "ERR_LAYER_XATTR",
        `Cannot unpack "${path}": the file system refuses its attribute "${shown}" (${error.code})`,
        { data: { path, name: shown }, cause: error },
      );
    }
  }
}

/** True if the file system of `target` has room for the attributes of any file. */
function hasSpace(target: XattrTarget): boolean {
  const directory = typeof target === "number" ? `/proc/self/fd/${target}` : target.slice(0, target.lastIndexOf("/"));
  const { bavail, bsize } = statfsSync(bytesOf(directory));
  return bavail * bsize > 1 << 20;
}
