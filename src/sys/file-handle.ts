/** File handles: names of inodes that outlive their paths (open_by_handle_at(2)). Needs CAP_DAC_READ_SEARCH. */

import { isErrno } from "../errors.ts";
import { O_CLOEXEC, O_PATH } from "./file.ts";
import { declare, failure } from "./libc.ts";

const openByHandle = declare("int open_by_handle_at(int mountFd, const void *handle, int flags)");

/**
 * An `O_PATH` descriptor of the file with this handle, on the file system that `mountFd` is on; null if there is none
 * any more. The caller closes it.
 * @throws PosixError
 */
export function openHandle(mountFd: number, type: number, handle: Uint8Array): number | null {
  const buffer = Buffer.alloc(8 + handle.length); // struct file_handle, fcntl.h
  buffer.writeUInt32LE(handle.length, 0);
  buffer.writeInt32LE(type, 4);
  buffer.set(handle, 8);
  const fd = openByHandle(mountFd, buffer, O_PATH | O_CLOEXEC);
  if (fd >= 0) return fd;
  const error = failure("open_by_handle_at");
  if (isErrno(error, "ESTALE")) return null;
  throw error;
}
