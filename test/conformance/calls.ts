/**
 * The system calls that the checks make and neither `node:fs` nor `src/sys` has: with raw flags and raw buffers, because
 * the flags and the sizes are what is checked. They go through the door of src/sys/libc.ts; each throws a `PosixError`.
 */

import type { HostPath } from "../../src/paths.ts";
import { AT_FDCWD } from "../../src/sys/file.ts";
import { check, cString, declare, failure } from "../../src/sys/libc.ts";

export { allocate as fallocate, seek } from "../../src/sys/data.ts";
export {
  O_NOATIME,
  O_NONBLOCK,
  O_RDWR,
  O_TMPFILE,
  RENAME_EXCHANGE,
  RENAME_WHITEOUT,
} from "../../src/sys/file.ts";
export { removeXattr, setXattr as setXattrWith } from "../../src/sys/xattr.ts";

export const O_APPEND = 0o2000;
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;
export const SEEK_SET = 0;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
/** fallocate(2): what is done with the range. */
export const FALLOCATE = { allocate: 0, keepSize: 1, punchHole: 3, zeroRange: 16 } as const;

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_SYMLINK_FOLLOW = 0x400;
const NOW = (1n << 30n) - 1n;
const OMIT = (1n << 30n) - 2n;
const NS = 1_000_000_000n;

const utimensatCall = declare("int utimensat(int dirfd, const void *path, const void *times, int flags)");
const linkatCall = declare("int linkat(int olddir, const void *oldpath, int newdir, const void *newpath, int flags)");
const getCall = declare<number>("int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)");
const listCall = declare<number>("int64_t llistxattr(const void *path, void *list, size_t size)");
const getdentsCall = declare<number>(
  "long syscall(long number, int fd, void *buffer, size_t size, long d, long e, long f)",
);
const mmapCall = declare<number>(
  "int64_t mmap(int64_t at, size_t size, int protection, int flags, int fd, int64_t offset)",
);
const munmapCall = declare("int munmap(int64_t at, size_t size)");
const msyncCall = declare("int msync(int64_t at, size_t size, int flags)");
const copyOut = declare<number>("int64_t memcpy(void *to, int64_t from, size_t size)");
const copyIn = declare<number>("int64_t memcpy(int64_t to, const void *from, size_t size)");
const fcntlCall = declare("int fcntl(int fd, int command, void *argument)");

/** What utimensat(2) does with one of the two times. */
export type NewTime = bigint | "now" | "omit";

/** utimensat(2); a symbolic link is not followed. Nanoseconds since the epoch. */
export function utimens(path: HostPath, atime: NewTime, mtime: NewTime): void {
  const times = Buffer.alloc(32);
  for (const [index, time] of [atime, mtime].entries()) {
    const rest = time === "now" ? NOW : time === "omit" ? OMIT : ((time % NS) + NS) % NS;
    times.writeBigInt64LE(typeof time === "bigint" ? (time - rest) / NS : 0n, index * 16);
    times.writeBigInt64LE(rest, index * 16 + 8);
  }
  check(utimensatCall(AT_FDCWD, cString(path), times, AT_SYMLINK_NOFOLLOW), "utimensat", path);
}

/** linkat(2) of an open file, as one made with O_TMPFILE gets its name. */
export function linkOpenFile(fd: number, to: HostPath): void {
  check(linkatCall(AT_FDCWD, cString(`/proc/self/fd/${fd}`), AT_FDCWD, cString(to), AT_SYMLINK_FOLLOW), "linkat", to);
}

/** getxattr(2) into a buffer of `sizeBytes`; 0 asks for the size. Returns what the call does. */
export function getXattrSize(path: HostPath, name: string, sizeBytes: number): number {
  const value = Buffer.alloc(Math.max(sizeBytes, 1));
  return check(Number(getCall(cString(path), cString(name), value, sizeBytes)), "getxattr", path);
}

/** listxattr(2) into a buffer of `sizeBytes`; 0 asks for the size. Returns what the call does. */
export function listXattrSize(path: HostPath, sizeBytes: number): number {
  const list = Buffer.alloc(Math.max(sizeBytes, 1));
  return check(Number(listCall(cString(path), list, sizeBytes)), "listxattr", path);
}

/** One entry as getdents64(2) gives it. */
export interface RawEntry {
  readonly ino: bigint;
  /** Where lseek(2) goes on after this entry. */
  readonly next: bigint;
  readonly type: number;
  readonly name: string;
}

/** One getdents64(2): as many entries as fit; none at the end of the directory. */
export function getdents(fd: number, sizeBytes = 32768): readonly RawEntry[] {
  const buffer = Buffer.alloc(sizeBytes);
  const number = process.arch === "arm64" ? 61 : 217;
  const size = check(Number(getdentsCall(number, fd, buffer, sizeBytes, 0, 0, 0)), "getdents64");
  const entries: RawEntry[] = [];
  for (let at = 0; at < size; at += buffer.readUInt16LE(at + 16)) {
    entries.push({
      ino: buffer.readBigUInt64LE(at),
      next: buffer.readBigInt64LE(at + 8),
      type: buffer.readUInt8(at + 18),
      name: buffer.toString("latin1", at + 19, buffer.indexOf(0, at + 19)),
    });
  }
  return entries;
}

/** All that is left to list, by calls of `sizeBytes`. */
export function listRest(fd: number, sizeBytes?: number): readonly RawEntry[] {
  const all: RawEntry[] = [];
  for (let some = getdents(fd, sizeBytes); some.length > 0; some = getdents(fd, sizeBytes)) all.push(...some);
  return all;
}

/** A mapping of a file's first bytes. */
export interface Mapping extends Disposable {
  read(offset: number, sizeBytes: number): string;
  write(offset: number, text: string): void;
  sync(): void;
}

/** mmap(2) of the first `sizeBytes`; the file must be that long. */
export function mapFile(fd: number, sizeBytes: number, kind: "read" | "shared" | "private"): Mapping {
  const [PROT_READ, PROT_WRITE, MAP_SHARED, MAP_PRIVATE, MS_SYNC] = [1, 2, 1, 2, 4];
  const protection = kind === "read" ? PROT_READ : PROT_READ | PROT_WRITE;
  const at = Number(mmapCall(0, sizeBytes, protection, kind === "private" ? MAP_PRIVATE : MAP_SHARED, fd, 0));
  if (at === -1) throw failure("mmap");
  return {
    read(offset, size) {
      const bytes = Buffer.alloc(size);
      copyOut(bytes, at + offset, size);
      return bytes.toString("latin1");
    },
    write: (offset, text) => void copyIn(at + offset, Buffer.from(text, "latin1"), text.length),
    sync: () => void check(msyncCall(at, sizeBytes, MS_SYNC), "msync"),
    [Symbol.dispose]: () => void munmapCall(at, sizeBytes),
  };
}

/** Record locks of fcntl(2): "process" for those of POSIX, "file" for those of an open file description. */
export type LockOwner = "process" | "file";
const COMMANDS = { process: { get: 5, set: 6 }, file: { get: 36, set: 37 } } as const;
const LOCK_TYPES = ["read", "write", "none"] as const;
export type RecordLock = (typeof LOCK_TYPES)[number];

/** Sets or releases a record lock without waiting. @throws PosixError `EAGAIN` if another holds one there */
export function setRecordLock(fd: number, owner: LockOwner, type: RecordLock, start = 0, lengthBytes = 0): void {
  check(fcntlCall(fd, COMMANDS[owner].set, flockStructure(type, start, lengthBytes)), "fcntl");
}

/** Who is in the way of a lock: its type and, for a lock of a process, its pid; type "none" if nobody is. */
export function findRecordLock(fd: number, owner: LockOwner, type: RecordLock): { type: RecordLock; pid: number } {
  const structure = flockStructure(type, 0, 0);
  check(fcntlCall(fd, COMMANDS[owner].get, structure), "fcntl");
  return { type: LOCK_TYPES[structure.readInt16LE(0)] ?? "none", pid: structure.readInt32LE(24) };
}

function flockStructure(type: RecordLock, start: number, lengthBytes: number): Buffer {
  const structure = Buffer.alloc(32);
  structure.writeInt16LE(LOCK_TYPES.indexOf(type), 0);
  structure.writeBigInt64LE(BigInt(start), 8);
  structure.writeBigInt64LE(BigInt(lengthBytes), 16);
  return structure;
}
