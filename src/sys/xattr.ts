/**
 * Extended attributes of every namespace. A target is an open descriptor or a host path, of which a final symbolic link
 * is not followed; a path may be of any length. Names are byte strings.
 */

import { isErrno, PosixError } from "../errors.ts";
import { type HostPath, hostPath, joinHost, PATH_MAX } from "../paths.ts";
import { AT_FDCWD, viaDirectories } from "./file.ts";
import { cString, declare, failure, lastErrno } from "./libc.ts";

/** An open file, or a path. */
export type XattrTarget = number | HostPath;

/** The entry `name` of the open directory `dirfd`, for what cannot be opened: symbolic links, devices, fifos. */
export function xattrTargetAt(dirfd: number, name: string): HostPath {
  return joinHost(hostPath(`/proc/self/fd/${dirfd}`), name);
}

/** True for a path that no call takes. */
function isLong(target: XattrTarget): target is HostPath {
  return typeof target === "string" && target.length > PATH_MAX;
}

function withShort<Result>(path: HostPath, call: (target: XattrTarget) => Result): Result {
  return viaDirectories(AT_FDCWD, path, (fd, rest) => call(xattrTargetAt(fd, rest)));
}

const lget = declare<number>("int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)");
const fget = declare<number>("int64_t fgetxattr(int fd, const void *name, void *value, size_t size)");
const lset = declare("int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)");
const fset = declare("int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)");
const llist = declare<number>("int64_t llistxattr(const void *path, void *list, size_t size)");
const flist = declare<number>("int64_t flistxattr(int fd, void *list, size_t size)");

const lremove = declare("int lremovexattr(const void *path, const void *name)");
const fremove = declare("int fremovexattr(int fd, const void *name)");

// Six arguments, because syscall(2) loads as many whatever the number takes.
const listAt = declare<number>(
  "long syscall(long number, int dirfd, const void *path, unsigned int flags, void *list, size_t size, long f)",
);

const EPERM = 1;
const ERANGE = 34;
const ENOSYS = 38;
const ENODATA = 61;
const ENOTSUP = 95;
/** XATTR_SIZE_MAX and XATTR_LIST_MAX: no value and no list is longer. */
const buffer = Buffer.alloc(65536);
/** What is asked for first: the kernel allocates as much for each call, and 64 KiB cost it more than the rest. */
const USUAL_BYTES = 1024;

/** The value of `name`, or null if it is not set (or the file system has no xattrs). @throws PosixError */
export function getXattr(target: XattrTarget, name: string): Buffer | null {
  if (isLong(target)) return withShort(target, (short) => getXattr(short, name));
  const size = fitting((most) => valueInto(target, name, most));
  if (size >= 0) return Buffer.from(buffer.subarray(0, size));
  const errno = lastErrno();
  if (errno === ENODATA || errno === ENOTSUP) return null;
  throw new PosixError(errno, "getxattr", describe(target));
}

/** As `getXattr`, valid until the next call here. @throws PosixError also `ENOTSUP` */
export function viewXattr(target: XattrTarget, name: string): Buffer | null {
  if (isLong(target)) return withShort(target, (short) => viewXattr(short, name));
  const size = fitting((most) => valueInto(target, name, most));
  if (size >= 0) return buffer.subarray(0, size);
  const errno = lastErrno();
  if (errno === ENODATA) return null; // asked for all the time; an error object costs more than the call
  throw new PosixError(errno, "getxattr", describe(target));
}

/** The names that are set, in the file system's order. @throws PosixError */
export function listXattrs(target: XattrTarget): readonly string[] {
  if (isLong(target)) return withShort(target, listXattrs);
  const list = (most: number): number =>
    Number(typeof target === "number" ? flist(target, buffer, most) : llist(cString(target), buffer, most));
  const size = fitting(list);
  if (size === 0) return [];
  if (size > 0) return buffer.toString("latin1", 0, size - 1).split("\0");
  const errno = lastErrno();
  if (errno === ENOTSUP) return [];
  throw new PosixError(errno, "listxattr", describe(target));
}

/** The same on arm64. Linux 6.13. */
const SYS_LISTXATTRAT = 465;
const AT_SYMLINK_NOFOLLOW = 0x100;
let hasListAt = true;

/**
 * True if the entry `name` of `directory`, which is open at `dirfd`, has any attribute. Most have none, and a walk asks
 * for every one: relative to the open directory that costs two thirds of what it costs by the whole path.
 * @throws PosixError
 */
export function hasXattrsAt(dirfd: number, name: string, directory: HostPath): boolean {
  if (hasListAt) {
    const size = Number(listAt(SYS_LISTXATTRAT, dirfd, cString(name), AT_SYMLINK_NOFOLLOW, buffer, USUAL_BYTES, 0));
    if (size >= 0) return size > 0;
    const errno = lastErrno();
    if (errno === ENOSYS || errno === EPERM) hasListAt = false; // EPERM: a filter that does not know it
  }
  return listXattrs(joinHost(directory, name)).length > 0;
}

function valueInto(target: XattrTarget, name: string, most: number): number {
  return Number(
    typeof target === "number"
      ? fget(target, cString(name), buffer, most)
      : lget(cString(target), cString(name), buffer, most),
  );
}

/** The result of a call that is given a size, made once more with the largest if the usual one does not do. */
function fitting(call: (most: number) => number): number {
  const size = call(USUAL_BYTES);
  return size < 0 && lastErrno() === ERANGE ? call(buffer.length) : size;
}

/** Sets `name`; `flags` as in setxattr(2), 0 whether or not it was there. @throws PosixError */
export function setXattr(target: XattrTarget, name: string, value: Uint8Array, flags = 0): void {
  if (isLong(target)) {
    withShort(target, (short) => setXattr(short, name, value, flags));
    return;
  }
  const result =
    typeof target === "number"
      ? fset(target, cString(name), value, value.length, flags)
      : lset(cString(target), cString(name), value, value.length, flags);
  if (result < 0) throw failure("setxattr", describe(target, name));
}

/** Takes `name` away. @throws PosixError `ENODATA` if it is not set */
export function removeXattr(target: XattrTarget, name: string): void {
  if (isLong(target)) {
    withShort(target, (short) => removeXattr(short, name));
    return;
  }
  const result = typeof target === "number" ? fremove(target, cString(name)) : lremove(cString(target), cString(name));
  if (result < 0) throw failure("removexattr", describe(target, name));
}

/** Takes `name` away if it is there. @throws PosixError */
export function removeXattrIfSet(target: XattrTarget, name: string): void {
  try {
    removeXattr(target, name);
  } catch (error) {
    if (isErrno(error, "ENODATA", "ENOTSUP")) return;
    // Who may not remove a security attribute is told so whether or not it is there.
    if (!isErrno(error, "EPERM") || getXattr(target, name) !== null) throw error;
  }
}

function describe(target: XattrTarget, name?: string): string {
  const file = typeof target === "number" ? `descriptor ${target}` : target;
  return name === undefined ? file : `${file}: ${name}`;
}
