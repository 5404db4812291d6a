/** Making what was written survive a power cut. */

import { declareAsync } from "./libc.ts";

/** syncfs(2) on the thread pool: writes out the whole file system that `fd` is on. @throws PosixError `EIO` */
export const syncFileSystem: (fd: number) => Promise<number> = declareAsync("int syncfs(int fd)", "syncfs");
