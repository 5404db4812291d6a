/** Files and directories of cgroup trees. */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
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

/** What a file says; null if there is none, or its group has gone. @throws a system error */
export function readFileOrNull(path: string): string | null {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return null;
    throw error;
  }
}

const PATIENCE_MS = 2_000;
const TURN_MS = 2;

/** Waits until `isDone` gives true, which it is asked again and again; false if that takes too long. */
export function waitUntil(isDone: () => boolean): boolean {
  for (const deadline = Date.now() + PATIENCE_MS; ; ) {
    if (isDone()) return true;
    if (Date.now() > deadline) return false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TURN_MS);
  }
}

/**
 * Removes a group with all groups below, which a container may have made, and kills the processes in them until none is
 * left; false if they stay. Nothing there is fine. The kernel lets go of a group a moment after its last process ended.
 */
export function removeDirectory(path: string): boolean {
  return waitUntil(() => {
    try {
      rmdirSync(path);
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return true;
      if (!isErrno(error, "EBUSY")) throw error;
    }
    emptyBelow(path);
    return false;
  });
}

/** Kills what is in a scope, which systemd then removes; false if it is still there after a time. Nothing there is fine. */
export function emptyScope(path: string): boolean {
  return waitUntil(() => {
    if (!existsSync(path)) return true;
    emptyBelow(path);
    return false;
  });
}

function emptyBelow(path: string): void {
  const below = groupsBelow(path);
  for (const group of [path, ...below]) killAllIn(group);
  for (const group of below.toReversed()) removeEmpty(group);
}

/** The groups below one, those above first. */
export function groupsBelow(path: string): readonly string[] {
  return namesIn(path).flatMap((name) => [join(path, name), ...groupsBelow(join(path, name))]);
}

function namesIn(path: string): readonly string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

/** Kills the processes of a group. */
export function killAllIn(path: string): void {
  const pids = readFileOrNull(join(path, "cgroup.procs"))?.split("\n").map(Number) ?? [];
  for (const pid of pids) if (pid > 0) sendSignal(pid, "SIGKILL"); // 0: of a pid namespace not seen here
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isErrno(error, "EBUSY", "ENOENT")) throw error;
  }
}
