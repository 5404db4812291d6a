/** What is done with the content of an open file, at offsets and without moving its file position. */

import { check, declare, failure } from "./libc.ts";

const preadCall = declare<number>("int64_t pread(int fd, void *buffer, size_t count, int64_t offset)");
const pwriteCall = declare<number>("int64_t pwrite(int fd, const void *buffer, size_t count, int64_t offset)");
const fallocateCall = declare("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
const lseekCall = declare<number>("int64_t lseek(int fd, int64_t offset, int whence)");
const fsyncCall = declare("int fsync(int fd)");
const fdatasyncCall = declare("int fdatasync(int fd)");
const syncRangeCall = declare("int sync_file_range(int fd, int64_t offset, int64_t count, unsigned int flags)");
const copyRangeCall = declare<number>(
  "int64_t copy_file_range(int in, void *inOffset, int out, void *outOffset, size_t length, unsigned int flags)",
);

/** pread(2) into the first `count` bytes of `buffer`; the number of bytes read. @throws PosixError */
export function readAt(fd: number, buffer: Uint8Array, count: number, offset: number): number {
  return check(Number(preadCall(fd, buffer, count, offset)), "pread");
}

/** pwrite(2) of the first `count` bytes of `buffer`; the number of bytes written, maybe fewer. @throws PosixError */
export function writeAt(fd: number, buffer: Uint8Array, count: number, offset: number): number {
  return check(Number(pwriteCall(fd, buffer, count, offset)), "pwrite");
}

/** fallocate(2). @throws PosixError */
export function allocate(fd: number, mode: number, offset: number, length: number): void {
  check(fallocateCall(fd, mode, offset, length), "fallocate");
}

/** lseek(2). The places of a directory are numbers of 64 bits. @throws PosixError */
export function seek(fd: number, offset: number | bigint, whence: number): number {
  return check(Number(lseekCall(fd, offset, whence)), "lseek");
}

/** fsync(2), or fdatasync(2). @throws PosixError */
export function syncFile(fd: number, dataOnly = false): void {
  check(dataOnly ? fdatasyncCall(fd) : fsyncCall(fd), "fsync");
}

const SYNC_FILE_RANGE_WRITE = 2;

/**
 * Sets all that was written to the file on its way to the disk, and does not wait for it (sync_file_range(2)). ext4 then has
 * it there before a name that the file gets afterwards, as it does for a rename over another file (`auto_da_alloc`).
 */
export function startWriting(fd: number): void {
  syncRangeCall(fd, 0, 0, SYNC_FILE_RANGE_WRITE); // a file system that has nothing to write to says ESPIPE or the like
}

const inOffset = new BigInt64Array(1);
const outOffset = new BigInt64Array(1);
const inBytes = new Uint8Array(inOffset.buffer);
const outBytes = new Uint8Array(outOffset.buffer);

/** copy_file_range(2) between two offsets; the number of bytes copied, 0 at the end of `from`. @throws PosixError */
export function copyRangeAt(from: number, fromOffset: number, to: number, toOffset: number, length: number): number {
  inOffset[0] = BigInt(fromOffset);
  outOffset[0] = BigInt(toOffset);
  const size = Number(copyRangeCall(from, inBytes, to, outBytes, length, 0));
  if (size < 0) throw failure("copy_file_range");
  return size;
}

const ioctlCall = declare("int ioctl(int fd, unsigned long request, void *argument)");

/** ioctl(2) with an argument in memory, which is read or written as the request has it. @throws PosixError */
export function controlFile(fd: number, request: number, argument: Uint8Array): number {
  return check(ioctlCall(fd, request, argument), "ioctl");
}
