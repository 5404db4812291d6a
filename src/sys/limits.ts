/** Resource limits (setrlimit(2), prlimit(2)). */

import { check, declare } from "./libc.ts";

const getrlimit = declare("int getrlimit(int resource, void *limit)");
const setrlimit = declare("int setrlimit(int resource, const void *limit)");
const prlimit = declare("int prlimit(int pid, int resource, const void *limit, void *old)");
const RLIMIT_NOFILE = 7;

/** In the order of their numbers (asm-generic/resource.h). */
const LIMITS = [
  ...["cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as"],
  ...["locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"],
];

/** Allows as many open files as this process may allow itself. Best effort: what was allowed before stays otherwise. */
export function raiseOpenFilesLimit(): void {
  const limit = openFilesRange();
  limit[0] = limit[1] ?? 0n;
  setrlimit(RLIMIT_NOFILE, new Uint8Array(limit.buffer));
}

/** How many files this process may have open. @throws PosixError */
export function openFilesLimit(): number {
  return Number(openFilesRange()[0]);
}

/** `struct rlimit`: soft, hard. */
function openFilesRange(): BigUint64Array {
  const limit = new BigUint64Array(2);
  check(getrlimit(RLIMIT_NOFILE, new Uint8Array(limit.buffer)), "getrlimit");
  return limit;
}

/** True if a limit is called so: "nofile", "core". */
export function isLimitName(name: string): boolean {
  return LIMITS.includes(name);
}

/** Sets a limit of another process, by the OCI name of it ("RLIMIT_NOFILE"). -1 is no limit. @throws PosixError */
export function setProcessLimit(pid: number, type: string, soft: number, hard: number): void {
  const resource = LIMITS.indexOf(type.slice("RLIMIT_".length).toLowerCase());
  const limit = new BigUint64Array([BigInt.asUintN(64, BigInt(soft)), BigInt.asUintN(64, BigInt(hard))]);
  check(prlimit(pid, resource, new Uint8Array(limit.buffer), null), `prlimit(${type})`);
}
