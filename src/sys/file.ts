/**
 * Files relative to a directory descriptor, with byte-string names, nanosecond times and device numbers: what
 * `node:fs` cannot do. Nothing here follows a final symbolic link unless it says so.
 *
 * A file of a layer may have a path of PATH_MAX, and the layer lies somewhere too; and there are trees in which paths are
 * longer still. So paths may be of any length here.
 */

import { constants } from "node:os";
import { PosixError } from "../errors.ts";
import { PATH_MAX } from "../paths.ts";
import { check, cString, declare } from "./libc.ts";

/** `openAt` and the like: paths are relative to the working directory. */
export const AT_FDCWD = -100;
/** `linkAt`: `from` is "" and its directory is the open file itself. */
export const AT_EMPTY_PATH = 0x1000;
/** `unlinkAt`: remove a directory. */
export const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_NOFOLLOW = 0x100;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000;
export const O_DIRECTORY = process.arch === "arm64" ? 0o40000 : 0o200000;
export const O_CLOEXEC = 0o2000000;
export const O_NONBLOCK = 0o4000;
export const O_NOATIME = 0o1000000;
export const O_PATH = 0o10000000;
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

/** `rename` flags (renameat2(2)). */
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

const open = declare("int openat(int dirfd, const void *path, int flags, unsigned int mode)");
// Six arguments, because syscall(2) loads as many whatever the number takes.
const openat2 = declare(
  "long syscall(long number, int dirfd, const void *path, const void *how, size_t size, long e, long f)",
);
const closeFd = declare("int close(int fd)");
const mkdir = declare("int mkdirat(int dirfd, const void *path, unsigned int mode)");
const mknod = declare("int mknodat(int dirfd, const void *path, unsigned int mode, uint64_t dev)");
const symlink = declare("int symlinkat(const void *target, int dirfd, const void *path)");
const link = declare("int linkat(int olddir, const void *oldpath, int newdir, const void *newpath, int flags)");
const unlink = declare("int unlinkat(int dirfd, const void *path, int flags)");
const renameat2 = declare(
  "int renameat2(int olddir, const void *old, int newdir, const void *new, unsigned int flags)",
);
const chownat = declare("int fchownat(int dirfd, const void *path, unsigned int uid, unsigned int gid, int flags)");
const chmodat = declare("int fchmodat(int dirfd, const void *path, unsigned int mode, int flags)");
const fchmod = declare("int fchmod(int fd, unsigned int mode)");
const utimensat = declare("int utimensat(int dirfd, const void *path, const void *times, int flags)");
const futimens = declare("int futimens(int fd, const void *times)");
const readlink = declare<number>("int64_t readlinkat(int dirfd, const void *path, void *buffer, size_t size)");
const write = declare<number>("int64_t write(int fd, const void *buffer, size_t count)");
const pwrite = declare<number>("int64_t pwrite(int fd, const void *buffer, size_t count, int64_t offset)");
const fallocate = declare("int posix_fallocate(int fd, int64_t offset, int64_t length)");
const ftruncate = declare("int ftruncate(int fd, int64_t length)");

/** openat(2), close-on-exec. @throws PosixError */
export function openAt(dirfd: number, path: string, flags: number, mode = 0): number {
  if (path.length > PATH_MAX) return viaDirectories(dirfd, path, (fd, rest) => openAt(fd, rest, flags, mode));
  return check(open(dirfd, cString(path), flags | O_CLOEXEC, mode), "openat", path);
}

/** What `viaDirectories` leaves of a path: PATH_MAX with room for a "/proc/self/fd/N/" before it. */
const REST_BYTES = PATH_MAX - 64;

/**
 * Does a call with a path that is too long for the kernel: opens directories on the way, and hands on the last of them
 * with what is left. @throws PosixError if there is no way there, or what `call` throws
 */
export function viaDirectories<Result>(
  dirfd: number,
  path: string,
  call: (dirfd: number, rest: string) => Result,
  openDirectory: (dirfd: number, path: string) => number = openPath,
): Result {
  let [fd, rest] = [dirfd, path];
  try {
    while (rest.length > REST_BYTES) {
      const slash = rest.lastIndexOf("/", REST_BYTES);
      if (slash < 1) throw new PosixError(constants.errno.ENAMETOOLONG, "openat", rest);
      const next = openDirectory(fd, rest.slice(0, slash));
      if (fd !== dirfd) close(fd);
      [fd, rest] = [next, rest.slice(slash).replace(/^\/+/, "")];
    }
    return call(fd, rest);
  } finally {
    if (fd !== dirfd) close(fd);
  }
}

/** `viaDirectories` for a call with two paths. */
function viaBoth(
  fromDirfd: number,
  from: string,
  toDirfd: number,
  to: string,
  call: (fromDirfd: number, from: string, toDirfd: number, to: string) => void,
): void {
  viaDirectories(fromDirfd, from, (fd, rest) =>
    viaDirectories(toDirfd, to, (toFd, toRest) => call(fd, rest, toFd, toRest)),
  );
}

function openPath(dirfd: number, path: string): number {
  return openAt(dirfd, path, O_PATH | O_DIRECTORY);
}

/** True for a path that no call takes. */
function isLong(path: string | null): path is string {
  return path !== null && path.length > PATH_MAX;
}

const SYS_OPENAT2 = 437;
const RESOLVE_NO_SYMLINKS = 4n;
/** `struct open_how`: flags, mode, resolve. */
const howWithoutLinks = (flags: number): Buffer =>
  Buffer.from(new BigUint64Array([BigInt(flags | O_CLOEXEC), 0n, RESOLVE_NO_SYMLINKS]).buffer);
const FOR_READING = howWithoutLinks(O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
const AS_DIRECTORY = howWithoutLinks(O_PATH | O_DIRECTORY);

/**
 * Opens a file for reading whose path others may be changing: no symbolic link is followed on the way, and a fifo does
 * not hold it up (openat2(2)). `path` may be of any length.
 * @throws PosixError for `whole`: `ELOOP` if the path leads through a symbolic link
 */
export function openWithoutLinks(dirfd: number, path: string, whole = path): number {
  if (path.length <= PATH_MAX) return openHow(dirfd, path, FOR_READING, whole);
  const open = (fd: number, rest: string): number => openHow(fd, rest, FOR_READING, whole);
  return viaDirectories(dirfd, path, open, openDirectoryOnTheWay);
}

/** Opens a directory for what is in it (`O_PATH`), not following symbolic links either. @throws PosixError */
export function openDirectoryWithoutLinks(path: string): number {
  if (path.length <= PATH_MAX) return openDirectoryOnTheWay(AT_FDCWD, path);
  return viaDirectories(AT_FDCWD, path, openDirectoryOnTheWay, openDirectoryOnTheWay);
}

const RESOLVE_NO_MAGICLINKS = 2n;
const RESOLVE_IN_ROOT = 16n;

/**
 * Opens a path as a process whose root `dirfd` is would: absolute symbolic links and ".." stay inside. The links of /proc
 * that lead anywhere (magic links) are refused. `mode` is for `O_CREAT`.
 * @throws PosixError `ELOOP` for a magic link
 */
export function openInRoot(dirfd: number, path: string, flags: number, mode = 0): number {
  const resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT;
  const how = Buffer.from(new BigUint64Array([BigInt(flags | O_CLOEXEC), BigInt(mode), resolve]).buffer);
  return openHow(dirfd, path, how, path);
}

function openDirectoryOnTheWay(dirfd: number, path: string): number {
  return openHow(dirfd, path, AS_DIRECTORY, path);
}

function openHow(dirfd: number, path: string, how: Buffer, whole: string): number {
  return check(openat2(SYS_OPENAT2, dirfd, cString(path), how, how.length, 0, 0), "openat2", whole);
}

/** close(2). */
export function close(fd: number): void {
  check(closeFd(fd), "close");
}

/** mkdirat(2). @throws PosixError */
export function mkdirAt(dirfd: number, path: string, mode: number): void {
  if (path.length > PATH_MAX) viaDirectories(dirfd, path, (fd, rest) => mkdirAt(fd, rest, mode));
  else check(mkdir(dirfd, cString(path), mode), "mkdirat", path);
}

/** mknodat(2): a device, fifo or socket; `mode` includes the type. @throws PosixError */
export function mknodAt(dirfd: number, path: string, mode: number, major = 0, minor = 0): void {
  if (path.length > PATH_MAX) viaDirectories(dirfd, path, (fd, rest) => mknodAt(fd, rest, mode, major, minor));
  else check(mknod(dirfd, cString(path), mode, makeDevice(major, minor)), "mknodat", path);
}

/** symlinkat(2). @throws PosixError */
export function symlinkAt(target: string, dirfd: number, path: string): void {
  if (path.length > PATH_MAX) viaDirectories(dirfd, path, (fd, rest) => symlinkAt(target, fd, rest));
  else check(symlink(cString(target), dirfd, cString(path)), "symlinkat", path);
}

/** linkat(2): a second name for a file; a symbolic link is linked itself. @throws PosixError */
export function linkAt(fromDirfd: number, from: string, toDirfd: number, to: string, flags = 0): void {
  if (from.length > PATH_MAX || to.length > PATH_MAX) {
    viaBoth(fromDirfd, from, toDirfd, to, (fd, rest, toFd, toRest) => linkAt(fd, rest, toFd, toRest, flags));
  } else check(link(fromDirfd, cString(from), toDirfd, cString(to), flags), "linkat", to);
}

/** unlinkat(2); `AT_REMOVEDIR` for a directory. @throws PosixError */
export function unlinkAt(dirfd: number, path: string, flags = 0): void {
  if (path.length > PATH_MAX) viaDirectories(dirfd, path, (fd, rest) => unlinkAt(fd, rest, flags));
  else check(unlink(dirfd, cString(path), flags), "unlinkat", path);
}

/** renameat2(2). @throws PosixError */
export function renameAt(fromDirfd: number, from: string, toDirfd: number, to: string, flags = 0): void {
  if (from.length > PATH_MAX || to.length > PATH_MAX) {
    viaBoth(fromDirfd, from, toDirfd, to, (fd, rest, toFd, toRest) => renameAt(fd, rest, toFd, toRest, flags));
  } else check(renameat2(fromDirfd, cString(from), toDirfd, cString(to), flags), "renameat2", from);
}

/** Owner of `path`, or of the open file if `path` is null; opened with `O_PATH` is enough. @throws PosixError */
export function chown(dirfd: number, path: string | null, uid: number, gid: number): void {
  const flags = path === null ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  if (isLong(path)) viaDirectories(dirfd, path, (fd, rest) => chown(fd, rest, uid, gid));
  else check(chownat(dirfd, cString(path ?? ""), uid, gid, flags), "fchownat", path ?? undefined);
}

/**
 * Mode of `path` (follows a symbolic link: never call it on one), or of the open file if `path` is null.
 * Do it after `chown`, which clears the setuid and setgid bits.
 * @throws PosixError
 */
export function chmod(dirfd: number, path: string | null, mode: number): void {
  if (isLong(path)) viaDirectories(dirfd, path, (fd, rest) => chmod(fd, rest, mode));
  else if (path === null) {
    if (fchmod(dirfd, mode & 0o7777) < 0) chmod(AT_FDCWD, `/proc/self/fd/${dirfd}`, mode); // EBADF for O_PATH
  } else check(chmodat(dirfd, cString(path), mode & 0o7777, 0), "fchmodat", path);
}

const times = Buffer.alloc(32);
/** The same as two of `struct timespec`, as on every machine we run on. */
const timeWords = new BigInt64Array(times.buffer, times.byteOffset, 4);
const NS = 1_000_000_000n;

/** Access and modification time of `path`, or of the open file if `path` is null. @throws PosixError */
export function setTimes(dirfd: number, path: string | null, atimeNs: bigint, mtimeNs: bigint): void {
  putTime(mtimeNs, 2);
  if (atimeNs === mtimeNs) times.copyWithin(0, 16);
  else putTime(atimeNs, 0);
  if (isLong(path)) viaDirectories(dirfd, path, (fd, rest) => setTimes(fd, rest, atimeNs, mtimeNs));
  else if (path === null) check(futimens(dirfd, times), "futimens");
  else check(utimensat(dirfd, cString(path), times, AT_SYMLINK_NOFOLLOW), "utimensat", path);
}

function putTime(ns: bigint, at: number): void {
  let seconds = ns / NS;
  let rest = ns % NS;
  if (rest < 0n) {
    seconds -= 1n;
    rest += NS;
  }
  timeWords[at] = seconds;
  timeWords[at + 1] = rest;
}

const linkBuffer = Buffer.alloc(4097);

/** The target of a symbolic link, as a byte string. @throws PosixError */
export function readlinkAt(dirfd: number, path: string): string {
  if (path.length > PATH_MAX) return viaDirectories(dirfd, path, readlinkAt);
  const size = check(Number(readlink(dirfd, cString(path), linkBuffer, linkBuffer.length)), "readlinkat", path);
  return linkBuffer.toString("latin1", 0, size);
}

/** Writes all of `bytes` at the file position. @throws PosixError */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let rest = bytes;
  for (;;) {
    const done = check(Number(write(fd, rest, rest.length)), "write");
    if (done === rest.length) return;
    rest = rest.subarray(done);
  }
}

/** Writes all of `bytes` at `offset`. @throws PosixError */
export function writeAllAt(fd: number, bytes: Uint8Array, offset: number): void {
  let rest = bytes;
  let at = offset;
  for (;;) {
    const done = check(Number(pwrite(fd, rest, rest.length, at)), "pwrite");
    if (done === rest.length) return;
    rest = rest.subarray(done);
    at += done;
  }
}

/** ftruncate(2). @throws PosixError */
export function truncate(fd: number, lengthBytes: number): void {
  check(ftruncate(fd, lengthBytes), "ftruncate");
}

/** posix_fallocate(3): the file takes its first `lengthBytes` on disk. @throws PosixError */
export function allocate(fd: number, lengthBytes: number): void {
  const errno = fallocate(fd, 0, lengthBytes); // the result, not libc's errno
  if (errno !== 0) throw new PosixError(errno, "fallocate");
}

/** glibc's makedev(3). */
function makeDevice(major: number, minor: number): bigint {
  const [a, i] = [BigInt(major), BigInt(minor)];
  return ((a & 0xfffff000n) << 32n) | ((a & 0xfffn) << 8n) | ((i & 0xffffff00n) << 12n) | (i & 0xffn);
}
