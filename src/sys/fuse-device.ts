/** /dev/fuse: one read is one request, one write is one reply (Documentation/filesystems/fuse.rst, linux/fuse.h). */

import { check, declare, lastErrno } from "./libc.ts";

/** What the mount table shows as the type of our FUSE mounts. */
export const FUSE_TYPE = "fuse.layerctl-fuse";
/** An attribute of the root of such a mount that is not on disk: what its server counted, as JSON. */
export const STATISTICS_XATTR = "user.layerctl.statistics";

/** What a server says to who started it when the mount is live. */
export const SERVER_READY = "ready";

const readCall = declare<number>("int64_t read(int fd, void *buffer, size_t size)");
const writeCall = declare<number>("int64_t write(int fd, const void *buffer, size_t size)");
const ioctlCall = declare("int ioctl(int fd, unsigned long request, const void *argument)");

const [EINTR, ENOENT, EAGAIN, ENODEV] = [4, 2, 11, 19];
const BACKING_OPEN = 0x4010e501;
const BACKING_CLOSE = 0x4004e502;

/** The next request, in `buffer`: its size, or 0 when the mount is gone. Waits for it. @throws PosixError */
export function readRequest(fd: number, buffer: Uint8Array): number {
  for (;;) {
    const size = readCall(fd, buffer, buffer.length);
    if (size >= 0) return size;
    const errno = lastErrno();
    if (errno === ENODEV) return 0;
    if (errno !== EINTR && errno !== ENOENT && errno !== EAGAIN) check(size, "read(/dev/fuse)"); // ENOENT: it was taken back
  }
}

/** As `readRequest` of a device that does not wait (`setWaiting`): -1 if there is none now. @throws PosixError */
export function readRequestNow(fd: number, buffer: Uint8Array): number {
  const size = readCall(fd, buffer, buffer.length);
  if (size >= 0) return size;
  const errno = lastErrno();
  if (errno === ENODEV) return 0;
  if (errno !== EINTR && errno !== ENOENT && errno !== EAGAIN) check(size, "read(/dev/fuse)");
  return -1;
}

/** Sends the first `size` bytes of `buffer`. False if nobody waits for them any more. @throws PosixError */
export function writeReply(fd: number, buffer: Uint8Array, size: number): boolean {
  if (writeCall(fd, buffer, size) >= 0) return true;
  const errno = lastErrno();
  if (errno === ENOENT || errno === ENODEV) return false; // the request was interrupted, the mount is gone
  check(-1, "write(/dev/fuse)");
  return false;
}

const pollCall = declare("int poll(void *fds, uint64_t count, int timeoutMs)");
const fcntlCall = declare("int fcntl(int fd, int command, long argument)");
const pollFd = Buffer.alloc(8); // struct pollfd: fd, events, revents
const [POLLERR, POLLNVAL] = [8, 32];
const [F_SETFD, FD_CLOEXEC, F_SETFL, O_RDWR, O_NONBLOCK] = [2, 1, 4, 2, 0o4000];
const POLLIN = 1;

/** Whether a device that another reads from is "mounted", "unmounted", or "closed" after that. */
export function deviceState(fd: number): "mounted" | "unmounted" | "closed" {
  pollFd.writeInt32LE(fd, 0);
  pollFd.writeInt32LE(0, 4);
  check(pollCall(pollFd, 1, 0), "poll");
  const found = pollFd.readInt16LE(6);
  if ((found & POLLNVAL) !== 0) return "closed";
  return (found & POLLERR) !== 0 ? "unmounted" : "mounted";
}

/** Whether a read of the device waits for a request. @throws PosixError */
export function setWaiting(fd: number, isWaiting: boolean): void {
  check(fcntlCall(fd, F_SETFL, isWaiting ? O_RDWR : O_RDWR | O_NONBLOCK), "fcntl");
}

/** As `readRequest` of a device that does not wait (`setWaiting`). @throws PosixError */
export function waitForRequest(fd: number, buffer: Uint8Array): number {
  for (;;) {
    pollFd.writeInt32LE(fd, 0);
    pollFd.writeInt32LE(POLLIN, 4);
    pollCall(pollFd, 1, -1); // EINTR: looks, and waits again
    const size = readRequestNow(fd, buffer);
    if (size >= 0) return size;
  }
}

const pollFds = Buffer.alloc(16);

/** Waits until there is a request, or something to read from `other`: true for that. */
export function waitForEither(fd: number, other: number): boolean {
  for (const [at, each] of [fd, other].entries()) {
    pollFds.writeInt32LE(each, at * 8);
    pollFds.writeInt32LE(POLLIN, at * 8 + 4);
  }
  if (pollCall(pollFds, 2, -1) < 0) return false; // EINTR: the caller looks at both anyway
  return pollFds.readInt16LE(14) !== 0;
}

/** A program that this process starts does not get the descriptor. @throws PosixError */
export function closeOnExec(fd: number): void {
  check(fcntlCall(fd, F_SETFD, FD_CLOEXEC), "fcntl");
}

/** Sends a message that is no reply. False if the kernel has no use for it. */
export function tellKernel(fd: number, buffer: Uint8Array, size: number): boolean {
  return writeCall(fd, buffer, size) >= 0;
}

const NOTIFY_INVAL_INODE = 2;
const staleAttributes = Buffer.alloc(40); // struct fuse_out_header, struct fuse_notify_inval_inode_out
staleAttributes.writeUInt32LE(staleAttributes.length, 0);
staleAttributes.writeInt32LE(NOTIFY_INVAL_INODE, 4);
/** The same as 32-bit words, the low one of a pair first: writing a BigInt takes as long as the call. */
const staleWords = new Uint32Array(staleAttributes.buffer, staleAttributes.byteOffset, staleAttributes.length / 4);
staleAttributes.writeBigInt64LE(-1n, 24); // an offset below 0: attributes alone, and no pages, which might be locked

/** Has the kernel forget the attributes of a file. Best effort: it may not know the file, or the mount is gone. */
export function forgetAttributes(fd: number, nodeId: number): void {
  staleWords[4] = nodeId; // modulo 2^32
  staleWords[5] = nodeId / 0x1_0000_0000;
  writeCall(fd, staleAttributes, staleAttributes.length);
}

const backingMap = Buffer.alloc(16); // struct fuse_backing_map: fd, flags, padding
const backingId = Buffer.alloc(4);

/**
 * Registers an open file to be read and written by the kernel itself (FUSE passthrough, Linux 6.9): its id, or 0 where
 * that is refused: without CAP_SYS_ADMIN, or where the file system is stacked too deep.
 */
export function openBacking(fuseFd: number, fd: number): number {
  backingMap.writeInt32LE(fd, 0);
  const id = ioctlCall(fuseFd, BACKING_OPEN, backingMap);
  return id > 0 ? id : 0;
}

/** Lets go of what `openBacking` registered. Files that are open on it stay so. */
export function closeBacking(fuseFd: number, id: number): void {
  backingId.writeInt32LE(id, 0);
  ioctlCall(fuseFd, BACKING_CLOSE, backingId);
}
