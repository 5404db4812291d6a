/** Signals to processes that may have ended meanwhile. */

import { isErrno } from "../errors.ts";

/** Sends a signal; false if there is no such process any more. @throws a system error if it may not be sent */
export function sendSignal(pid: number, signal: NodeJS.Signals | number): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if (isErrno(error, "ESRCH")) return false;
    throw error;
  }
}
