/** Copies inside the kernel: shared extents where the file system can, else without passing the bytes through us. */

import { isErrno } from "../errors.ts";
import { copyRangeAt } from "./data.ts";
import { truncate } from "./file.ts";
import { check, declare, failure } from "./libc.ts";

const ioctl = declare("int ioctl(int fd, unsigned long request, int argument)");
const copyRange = declare<number>(
  "int64_t copy_file_range(int in, const void *inOffset, int out, const void *outOffset, size_t length, unsigned int flags)",
);
const seek = declare<number>("int64_t lseek(int fd, int64_t offset, int whence)");

const FICLONE = 0x40049409;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Makes `to` share all extents of `from`; false where the file system cannot. @throws PosixError */
export function reflink(from: number, to: number): boolean {
  if (ioctl(to, FICLONE, from) >= 0) return true;
  const error = failure("ioctl(FICLONE)");
  if (isErrno(error, "ENOTSUP", "EXDEV", "EINVAL", "ENOTTY", "ENOSYS")) return false;
  throw error;
}

/** The data extents of a file of `sizeBytes`, in order, as [start, end) pairs: what is not in one is a hole. */
export function dataExtents(fd: number, sizeBytes: number): readonly (readonly [number, number])[] {
  const extents: [number, number][] = [];
  let at = 0;
  while (at < sizeBytes) {
    const start = Number(seek(fd, at, SEEK_DATA));
    if (start < 0) {
      const error = failure("lseek(SEEK_DATA)");
      if (isErrno(error, "ENXIO")) break; // no data after `at`
      throw error;
    }
    const end = Math.min(check(Number(seek(fd, start, SEEK_HOLE)), "lseek(SEEK_HOLE)"), sizeBytes);
    extents.push([start, end]);
    at = end;
  }
  return extents;
}

/**
 * Copies the data of `from`, a file of `sizeBytes`, into the empty file `to`; its holes stay holes. A file that is shorter
 * by then leaves a hole at the end.
 * @throws PosixError `EXDEV`, `EINVAL` or `ENOTSUP` where the kernel cannot copy between these two
 */
export function copyData(from: number, to: number, sizeBytes: number): void {
  for (const [start, end] of dataExtents(from, sizeBytes)) {
    for (let at = start; at < end; ) {
      const size = copyRangeAt(from, at, to, at, Math.min(end - at, 1 << 30));
      if (size === 0) break;
      at += size;
    }
  }
  truncate(to, sizeBytes);
}

/**
 * Copies `lengthBytes` from the file position of `from` to that of `to`. Both positions move.
 * @returns the bytes copied, fewer only at the end of `from`.
 * @throws PosixError `EXDEV`, `EINVAL` or `ENOTSUP` where the kernel cannot copy between these two
 */
export function copyFileRange(from: number, to: number, lengthBytes: number): number {
  let done = 0;
  while (done < lengthBytes) {
    const size = check(
      Number(copyRange(from, null, to, null, Math.min(lengthBytes - done, 1 << 30), 0)),
      "copy_file_range",
    );
    if (size === 0) break;
    done += size;
  }
  return done;
}
