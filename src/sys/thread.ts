/** Settings of one thread, so that a worker can change them without touching the process it runs in. */

import { check, declare } from "./libc.ts";

const unshare = declare("int unshare(int flags)");
const umask = declare("unsigned int umask(unsigned int mask)");
const schedYield = declare("int sched_yield()");
const CLONE_FS = 0x200;

/** Lets another thread that waits for this CPU have it; goes on at once if there is none. */
export function yieldCpu(): void {
  schedYield();
}

/**
 * Gives the calling thread a umask of its own, 0, so that a file is created with its final mode in one call.
 * Only for worker threads: the main thread's umask is the process's.
 * @throws PosixError
 */
export function clearThreadUmask(): void {
  check(unshare(CLONE_FS), "unshare");
  umask(0);
}
