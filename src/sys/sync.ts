/** Making what was written survive a power cut. */

import { closeSync, fsyncSync, openSync } from "node:fs";
import { bytesOf, type HostPath } from "../paths.ts";
import { declareAsync } from "./libc.ts";

/** syncfs(2) on the thread pool: writes out the whole file system that `fd` is on. @throws PosixError `EIO` */
export const syncFileSystem: (fd: number) => Promise<number> = declareAsync("int syncfs(int fd)", "syncfs");

/** fsync(2) of a directory: what was renamed into or out of it stays so. @throws Node's system error */
export function syncDirectory(path: HostPath): void {
  const fd = openSync(bytesOf(path), "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
