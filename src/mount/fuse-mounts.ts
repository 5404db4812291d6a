/** What is different about a FUSE mount: its server may have died. */

import { isErrno } from "../errors.ts";
import type { HostPath } from "../paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../sys/file.ts";
import { fileSystemUse } from "../sys/statfs.ts";
import { findMount } from "./mount-info.ts";

/** True if nobody serves mount `id` at `target` any more: everything in it fails, and only unmounting helps. */
export function isDead(target: HostPath, id: number): boolean {
  try {
    const fd = openAt(AT_FDCWD, target, O_PATH | O_DIRECTORY);
    try {
      fileSystemUse(fd); // asks the server, where stat may be answered from the cache
    } finally {
      close(fd);
    }
    return false;
  } catch (error) {
    if (isErrno(error, "ENOTCONN", "ECONNABORTED")) return findMount(target)?.id === id;
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return false; // hidden, or not ours to look at
    throw error;
  }
}
