/** The kernel's keys (keyrings(7)), of which a process finds those that its session keyring leads to. */

import { isErrno } from "../errors.ts";
import { check, declare } from "./libc.ts";

// Six arguments, because syscall(2) loads as many whatever the number takes.
const keyctl = declare("long syscall(long number, int operation, const void *name, long b, long c, long d, long e)");
const SYS_KEYCTL = process.arch === "arm64" ? 219 : 250;
const KEYCTL_JOIN_SESSION_KEYRING = 1;

/**
 * Gives the calling thread, and what it starts from now on, a session keyring with nothing in it: no key of whoever started
 * this process is found through it. Where there are no keys, or a filter allows none, nothing has to be done.
 * @throws PosixError `EDQUOT` if the user has no keys left
 */
export function leaveSessionKeyring(): void {
  try {
    check(
      Number(keyctl(SYS_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, null, 0, 0, 0, 0)),
      "keyctl(KEYCTL_JOIN_SESSION_KEYRING)",
    );
  } catch (error) {
    if (!isErrno(error, "ENOSYS", "EPERM")) throw error;
  }
}
