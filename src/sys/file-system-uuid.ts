/** The UUID of a file system (FS_IOC_GETFSUUID, Linux 6.9). */

import { AT_FDCWD, close, O_RDONLY, openAt } from "./file.ts";
import { declare } from "./libc.ts";

const ioctl = declare("int ioctl(int fd, unsigned long request, void *argument)");
const FS_IOC_GETFSUUID = 0x80111500;

/** The sixteen bytes for the file system that the directory `fd` (maybe `O_PATH`) is on; null where it is not told. */
export function fileSystemUuid(fd: number): Buffer | null {
  const answer = Buffer.alloc(17); // struct fsuuid2: length, bytes
  const readable = openAt(AT_FDCWD, `/proc/self/fd/${fd}`, O_RDONLY);
  try {
    if (ioctl(readable, FS_IOC_GETFSUUID, answer) < 0 || answer[0] !== 16) return null;
    return answer.subarray(1);
  } finally {
    close(readable);
  }
}
