/** Resource limits of this process (setrlimit(2)). */

import { declare } from "./libc.ts";

const getrlimit = declare("int getrlimit(int resource, void *limit)");
const setrlimit = declare("int setrlimit(int resource, const void *limit)");
const RLIMIT_NOFILE = 7;

/** Allows as many open files as this process may allow itself. Best effort: what was allowed before stays otherwise. */
export function raiseOpenFilesLimit(): void {
  const limit = new BigUint64Array(2); // struct rlimit: soft, hard
  const bytes = new Uint8Array(limit.buffer);
  if (getrlimit(RLIMIT_NOFILE, bytes) < 0) return;
  limit[0] = limit[1] ?? 0n;
  setrlimit(RLIMIT_NOFILE, bytes);
}
