/** Files and directories of cgroup trees. */

import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../errors.ts";
import { sendSignal } from "../signal.ts";

/** Makes a group. @throws a system error, `EEXIST` too: a group of this name is somebody else's */
export function makeDirectory(path: string): void {
  mkdirSync(path, { mode: 0o755 });
}

/** @throws a system error */
export function writeControl(path: string, value: string): void {
  writeFileSync(path, value, { flag: "r+" });
}

const PATIENCE_MS = 2_000;
const TURN_MS = 2;

/** Removes a group, and kills the processes in it until none is left; false if they stay. Nothing there is fine. */
export function removeDirectory(path: string): boolean {
  for (const deadline = Date.now() + PATIENCE_MS; ; pause()) {
    try {
      rmdirSync(path);
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return true;
      if (!isErrno(error, "EBUSY")) throw error;
      if (Date.now() > deadline) return false;
    }
    for (const pid of processesIn(path)) if (pid > 0) sendSignal(pid, "SIGKILL"); // 0: of a pid namespace not seen here
  }
}

function processesIn(path: string): readonly number[] {
  try {
    return readFileSync(join(path, "cgroup.procs"), "latin1").split("\n").filter(Boolean).map(Number);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

/** The kernel lets go of a group a moment after its last process ended. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TURN_MS);
}
