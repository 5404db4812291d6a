/** Children that node did not start: those of a process that has ended, which come to us (prctl(2), waitpid(2)). */

import { check, declare } from "./libc.ts";

const prctl = declare("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)");
const waitpid = declare("int waitpid(int pid, void *status, int options)");

const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
/** SIGCHLD tells before. */
const TURN_MS = 1_000;

/** From now on the children of our children are ours when their parent ends. @throws PosixError */
export function adoptOrphans(): void {
  check(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)");
}

/** The exit code of a child of this process, when it has ended; 128 and the number of the signal that killed it. */
export function untilChildEnds(pid: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const status = Buffer.alloc(4);
    const look = (): void => {
      const found = waitpid(pid, status, WNOHANG);
      if (found === 0) return;
      process.off("SIGCHLD", look);
      clearInterval(turns);
      if (found === pid) resolve(exitCodeOf(status.readInt32LE(0)));
      else reject(new Error(`process ${pid} is no child of this one`));
    };
    const turns = setInterval(look, TURN_MS); // listening for a signal keeps no process alive
    process.on("SIGCHLD", look);
    look();
  });
}

/** As `untilChildEnds`, for a process that has nothing else to do. */
export function waitForChild(pid: number): number {
  const status = Buffer.alloc(4);
  check(waitpid(pid, status, 0), "waitpid");
  return exitCodeOf(status.readInt32LE(0));
}

/** As wait(2) packs it; who asks only for those that ended gets no others. */
function exitCodeOf(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}
