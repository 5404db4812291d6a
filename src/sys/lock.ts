/** flock(2) locks: the kernel lets them go when their holder dies, kill -9 included. */

import { isErrno } from "../errors.ts";
import { declare, failure } from "./libc.ts";

const flock = declare("int flock(int fd, int operation)");
const OPERATION = { shared: 1, exclusive: 2 } as const;
const LOCK_NB = 4;

/** Takes the lock if it is free (or is held in a compatible way); false if it is not. Never waits. @throws PosixError */
export function tryLock(fd: number, mode: "shared" | "exclusive"): boolean {
  if (flock(fd, OPERATION[mode] | LOCK_NB) >= 0) return true;
  const error = failure("flock");
  if (isErrno(error, "EAGAIN")) return false;
  throw error;
}
