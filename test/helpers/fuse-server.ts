/** The process behind a FUSE mount, for tests that end it as a crash would. */

import { readFileSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { bytesOf, type HostPath } from "../../src/paths.ts";

/** Kills the server that has locked this workdir, and returns when it is gone. */
export async function killServerOf(workdir: HostPath): Promise<void> {
  const pid = serverOf(workdir);
  if (pid === null) throw new Error("no server has this workdir");
  process.kill(pid, "SIGKILL");
  while (serverOf(workdir) !== null) await sleep(5);
}

/** proc_locks(5): the holder of the lock on a directory. */
function serverOf(workdir: HostPath): number | null {
  const { ino } = statSync(bytesOf(workdir));
  const line = readFileSync("/proc/locks", "latin1")
    .split("\n")
    .find((each) => each.includes("FLOCK") && each.includes(`:${ino} `));
  const pid = line?.split(/\s+/)[4];
  return pid === undefined ? null : Number(pid);
}
