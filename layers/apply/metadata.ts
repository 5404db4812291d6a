/**
 * Owner, mode, attributes and times of what has been unpacked. Order matters: owner before mode (chown clears setuid),
 * data and owner before security.capability (both clear it), mode before ACLs (chmod rewrites their mask), times last.
 */

import { statfsSync } from "node:fs";
import { IntegrityError, isErrno } from "../../src/errors.ts";
import type { LayerForm } from "../../src/overlay/layer-form.ts";
import { storedXattr } from "../../src/overlay/override-names.ts";
import { backingMode, formatOwnership, type OverrideAttribute } from "../../src/overlay/override-stat.ts";
import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { bytesOf, display } from "../../src/paths.ts";
import { chmod, chown, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFREG, setTimes } from "../../src/sys/file.ts";
import { listXattrs, removeXattr, setXattr, type XattrTarget, xattrTargetAt } from "../../src/sys/xattr.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { DirectoryRecord } from "./directory-record.ts";
import type { SkippedXattrs } from "./skipped-xattrs.ts";

const SETID_BITS = 0o6000;

/** For messages. */
type Named = Pick<TarEntry, "path">;

/** Of an open regular file that was created with its mode, by root: most files need no more than their time. */
export function restoreFile(fd: number, entry: TarEntry, skipped: SkippedXattrs, form: LayerForm): void {
  if (form.override !== null) putOwner(fd, entry, S_IFREG, form.override);
  else if (!belongsToRoot(entry)) {
    chown(fd, null, entry.uid, entry.gid);
    if (entry.mode & SETID_BITS) chmod(fd, null, entry.mode);
  }
  if (entry.xattrs.size > 0) restoreXattrs(fd, entry, skipped, form);
  setTimes(fd, null, entry.mtimeNs, entry.mtimeNs);
}

/** Of a directory that the tar lists; again it gets the metadata of the last time alone. */
export function restoreDirectory(
  dirfd: number,
  name: string,
  record: DirectoryRecord,
  skipped: SkippedXattrs,
  form: LayerForm,
): void {
  const { path, metadata, isAgain } = record;
  if (metadata === null) throw new TypeError("the tar does not list it");
  const target = xattrTargetAt(dirfd, name);
  if (form.override === null) chown(dirfd, name, metadata.uid, metadata.gid);
  if (isAgain) clearXattrs(target, form);
  chmod(dirfd, name, form.override === null ? metadata.mode : backingMode(S_IFDIR | metadata.mode));
  if (form.override !== null) putOwner(target, metadata, S_IFDIR, form.override);
  const { xattrs, mtimeNs } = metadata;
  if (xattrs.size > 0) restoreXattrs(target, { path, xattrs }, skipped, form);
  setTimes(dirfd, name, mtimeNs, mtimeNs);
}

/** Removes the attributes of a directory: all but what a layer means by it, and what the kernel's security modules put there. */
export function clearXattrs(target: XattrTarget, { namespace }: LayerForm): void {
  for (const name of listXattrs(target)) {
    if (name === overlayXattr(namespace, "opaque")) continue;
    try {
      removeXattr(target, name);
    } catch (error) {
      if (!name.startsWith("security.") || !isErrno(error, "EACCES", "EPERM", "ENOTSUP")) throw error;
    }
  }
}

/**
 * Of a symbolic link, device or fifo, which cannot be opened. In the form of attributes a link's owner is not kept: it cannot
 * have the attribute, and its owner decides nothing.
 */
export function restoreNode(
  dirfd: number,
  name: string,
  entry: TarEntry,
  skipped: SkippedXattrs,
  form: LayerForm,
): void {
  if (form.override !== null) {
    if (entry.type !== "symlink") putOwner(xattrTargetAt(dirfd, name), entry, typeOfNode(entry), form.override);
    setTimes(dirfd, name, entry.mtimeNs, entry.mtimeNs);
    return;
  }
  if (!belongsToRoot(entry)) chown(dirfd, name, entry.uid, entry.gid);
  if (entry.type !== "symlink") chmod(dirfd, name, entry.mode);
  if (entry.xattrs.size > 0) restoreXattrs(xattrTargetAt(dirfd, name), entry, skipped, form);
  setTimes(dirfd, name, entry.mtimeNs, entry.mtimeNs);
}

function belongsToRoot(entry: TarEntry): boolean {
  return entry.uid === 0 && entry.gid === 0;
}

/** `type` is what the file is, not what stands in for it. */
function putOwner(
  target: XattrTarget,
  { uid, gid, mode, deviceMajor = 0, deviceMinor = 0 }: Pick<TarEntry, "uid" | "gid" | "mode"> & Partial<TarEntry>,
  type: number,
  override: OverrideAttribute,
): void {
  const ownership = { uid, gid, mode: type | mode, rdevMajor: deviceMajor, rdevMinor: deviceMinor };
  setXattr(target, override, formatOwnership(ownership));
}

/** The type bits of a device or fifo. */
export function typeOfNode({ type }: TarEntry): number {
  return { character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO }[type as "character" | "block" | "fifo"];
}

function restoreXattrs(
  target: XattrTarget,
  entry: Pick<TarEntry, "xattrs"> & Named,
  skipped: SkippedXattrs,
  { namespace, override }: LayerForm,
): void {
  for (const [name, value] of entry.xattrs) {
    try {
      setXattr(target, storedXattr(name, namespace, override) ?? name, value);
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
