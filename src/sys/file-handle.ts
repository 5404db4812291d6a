/** File handles: names of inodes that outlive their paths (open_by_handle_at(2)). Needs CAP_DAC_READ_SEARCH. */

import { isErrno } from "../errors.ts";
import { PATH_MAX } from "../paths.ts";
import { O_CLOEXEC, O_PATH, viaDirectories } from "./file.ts";
import { cString, declare, failure } from "./libc.ts";

const nameToHandle = declare(
  "int name_to_handle_at(int dirfd, const void *path, void *handle, void *mountId, int flags)",
);
const AT_EMPTY_PATH = 0x1000;
const openByHandle = declare("int open_by_handle_at(int mountFd, const void *handle, int flags)");

/**
 * An `O_PATH` descriptor of the file with this handle, on the file system that `mountFd` is on; null if there is none
 * any more. The caller closes it.
 * @throws PosixError
 */
export function openHandle(mountFd: number, type: number, handle: Uint8Array): number | null {
  const named = Buffer.alloc(8 + handle.length); // struct file_handle, fcntl.h
  named.writeUInt32LE(handle.length, 0);
  named.writeInt32LE(type, 4);
  named.set(handle, 8);
  const fd = openByHandle(mountFd, named, O_PATH | O_CLOEXEC);
  if (fd >= 0) return fd;
  const error = failure("open_by_handle_at");
  if (isErrno(error, "ESTALE")) return null;
  throw error;
}

const MAX_HANDLE_BYTES = 128;
/** `struct file_handle`, and the id of the mount, of the last call. */
const buffer = Buffer.alloc(8 + MAX_HANDLE_BYTES);
const mountId = Buffer.alloc(4);

/** A handle as overlayfs stores it (`struct ovl_fh`): the file system's own type and bytes. */
export interface FileHandle {
  readonly type: number;
  readonly bytes: Buffer;
}

/** The handle of `path`, or of the open file if `path` is null; null where the file system gives none. @throws PosixError */
export function handleAt(dirfd: number, path: string | null): FileHandle | null {
  if (path !== null && path.length > PATH_MAX) return viaDirectories(dirfd, path, handleAt);
  buffer.writeUInt32LE(MAX_HANDLE_BYTES, 0);
  const flags = path === null ? AT_EMPTY_PATH : 0;
  if (nameToHandle(dirfd, cString(path ?? ""), buffer, mountId, flags) < 0) {
    const error = failure("name_to_handle_at", path ?? undefined);
    if (isErrno(error, "ENOTSUP", "EOVERFLOW", "EPERM", "ENOSYS")) return null;
    throw error;
  }
  return { type: buffer.readInt32LE(4), bytes: Buffer.from(buffer.subarray(8, 8 + buffer.readUInt32LE(0))) };
}

/** The inode number in the handles of ext4, xfs, btrfs and tmpfs (`enum fid_type`, linux/exportfs.h): reading it needs no privilege. */
export function inoIn({ type, bytes }: FileHandle): number | null {
  if (type === 1 && bytes.length === 8) return bytes.readUInt32LE(0);
  if (type === 1 && bytes.length === 12) return bytes.readUInt32LE(4) + bytes.readUInt32LE(8) * 2 ** 32; // shmem_encode_fh
  if (type === 0x81 && bytes.length >= 12) return Number(bytes.readBigUInt64LE(0));
  if (type === 0x4d && bytes.length >= 20) return Number(bytes.readBigUInt64LE(0));
  return null;
}
