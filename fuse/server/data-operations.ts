/** Requests about the content of regular files. */

import { PosixError } from "../../src/errors.ts";
import { allocate, controlFile, copyRangeAt, readAt, seek } from "../../src/sys/data.ts";
import { close, O_DIRECTORY, O_RDONLY, openAt } from "../../src/sys/file.ts";
import { OPEN_KILL_SUIDGID, WRITE_CACHE, WRITE_KILL_SUIDGID } from "../protocol/constants.ts";
import { OUT_HEADER_BYTES, type Reply } from "../protocol/reply.ts";
import type { Request } from "../protocol/request.ts";
import { contentFd } from "../union/content.ts";
import { copyUp } from "../union/copy-up.ts";
import { syncContent, syncDirectory, writeAll } from "../union/data.ts";
import { ERRNO } from "../union/errno.ts";
import { killSuidgid } from "../union/set-attributes.ts";
import type { Session } from "./operations.ts";

const FSYNC_DATA_ONLY = 1;

/** `struct fuse_open_in`. ENOSYS: then the kernel keeps what it has read, and never asks again. */
export function open({ union, files }: Session, request: Request, reply: Reply): void {
  if (files.isOpenless) {
    reply.fail(ERRNO.ENOSYS);
    return;
  }
  const node = union.node(request.nodeId);
  const opened = files.open(node, request.u32(0));
  if ((request.u32(4) & OPEN_KILL_SUIDGID) !== 0) killSuidgid(union, node);
  files.replyOpen(reply, opened);
}

/** `struct fuse_read_in`: straight into the reply. */
export function read({ union, files }: Session, request: Request, reply: Reply): void {
  const node = union.node(request.nodeId);
  files.wasRead(node);
  const fd = contentFd(union, node, false);
  const room = Math.min(request.u32(16), reply.buffer.length - OUT_HEADER_BYTES);
  reply.size += readAt(fd, reply.body, room, request.u64(8));
  files.wasUsed(node);
}

/** `struct fuse_write_in`. */
export function write({ union, files }: Session, request: Request, reply: Reply): void {
  const node = union.node(request.nodeId);
  const [offset, size, flags] = [request.u64(8), request.u32(16), request.u32(20)];
  copyUp(union, node);
  if ((flags & WRITE_KILL_SUIDGID) !== 0) killSuidgid(union, node);
  const fd = contentFd(union, node, true);
  const bytes = request.bytes(40, size);
  if ((flags & WRITE_CACHE) !== 0) files.writesBack(node);
  reply.u32(writeAll(fd, bytes, offset));
  reply.u32(0);
}

/** `struct fuse_release_in`. */
export function release({ union, files }: Session, request: Request): void {
  files.release(union.node(request.nodeId), request.u32(8));
}

/** `struct fuse_fsync_in`. */
export function fsync({ union }: Session, request: Request): void {
  syncContent(union, union.node(request.nodeId), (request.u32(8) & FSYNC_DATA_ONLY) !== 0);
}

export function fsyncDirectory({ union }: Session, request: Request): void {
  syncDirectory(union, union.node(request.nodeId));
}

/** `struct fuse_fallocate_in`. */
export function fallocate({ union, files }: Session, request: Request): void {
  const node = union.node(request.nodeId);
  copyUp(union, node);
  const fd = contentFd(union, node, true);
  files.writesBack(node);
  allocate(fd, request.u32(24), request.u64(8), request.u64(16));
}

/**
 * `struct fuse_lseek_in`: holes and data. What the page cache has not written yet looks like a hole from here, so a file
 * that is open for writing then has none to tell of, and programs read it all.
 */
export function lseek({ union, files }: Session, request: Request, reply: Reply): void {
  const node = union.node(request.nodeId);
  if (files.hasWriteback && node.writers > 0) throw new PosixError(ERRNO.EINVAL, "lseek");
  reply.u64(seek(contentFd(union, node, false), request.u64(8), request.u32(16)));
  files.wasUsed(node);
}

/** `struct fuse_copy_file_range_in`. */
export function copyFileRange({ union }: Session, request: Request, reply: Reply): void {
  const from = union.node(request.nodeId);
  const to = union.node(request.u64(16));
  if (request.u64(48) !== 0) throw new PosixError(ERRNO.EINVAL, "copy_file_range");
  copyUp(union, to);
  const length = Math.min(request.u64(40), 1 << 30);
  const [input, output] = [contentFd(union, from, false), contentFd(union, to, true)];
  reply.u32(copyRangeAt(input, request.u64(8), output, request.u64(32), length));
  reply.u32(0);
}

/** The inode flags of chattr(1) (linux/fs.h), by number: how many bytes they take or give, and whether they change. */
const IOCTLS: ReadonlyMap<number, { readonly bytes: number; readonly changes: boolean }> = new Map([
  [0x8008_6601, { bytes: 4, changes: false }], // FS_IOC_GETFLAGS
  [0x4008_6602, { bytes: 4, changes: true }], // FS_IOC_SETFLAGS
  [0x801c_581f, { bytes: 28, changes: false }], // FS_IOC_FSGETXATTR
  [0x401c_5820, { bytes: 28, changes: true }], // FS_IOC_FSSETXATTR
]);

/** `struct fuse_ioctl_in`. */
export function ioctl({ union, files }: Session, request: Request, reply: Reply): void {
  const command = request.u32(12);
  const known = IOCTLS.get(command);
  if (known === undefined) throw new PosixError(ERRNO.ENOTTY, "ioctl");
  const node = union.node(request.nodeId);
  const argument = Buffer.alloc(Math.max(8, known.bytes));
  if (known.changes) {
    request.bytes(32, known.bytes).copy(argument);
    copyUp(union, node);
    node.hiddenChange = null;
  }
  const { fd, path } = node.isDirectory ? union.placeOf(node) : { fd: contentFd(union, node, false), path: null };
  const open = path === null ? fd : openAt(fd, path, O_RDONLY | O_DIRECTORY);
  try {
    controlFile(open, command, argument);
  } finally {
    if (open !== fd) close(open);
    files.wasUsed(node);
  }
  for (const word of [0, 0, 0, 0]) reply.u32(word); // result, flags, iovecs in and out
  if (!known.changes) reply.bytes(argument.subarray(0, known.bytes));
}
