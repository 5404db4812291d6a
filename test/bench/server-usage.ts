/** What the server behind a FUSE mount uses while something else is timed. */

import { globSync, readFileSync, statSync, writeFileSync } from "node:fs";

export interface ServerUsage {
  readonly cpuSeconds: number;
  /** Its largest, since the start of the measurement. */
  readonly peakMiB: number;
}

/** Of the clock of /proc/PID/stat (proc_pid_stat(5)), which is 100 on every Linux. */
const TICKS_PER_SECOND = 100;
/** Written to clear_refs it sets the peak back to what is used now (proc_pid_clear_refs(5)). */
const RESET_PEAK = "5";

/** Begins to measure the server of the mount at `target`; the result ends it. @throws if the mount has no server here */
export function watchServer(target: string): () => ServerUsage {
  const pid = serverOf(target);
  writeFileSync(`/proc/${pid}/clear_refs`, RESET_PEAK);
  const before = cpuSecondsOf(pid);
  return () => ({ cpuSeconds: cpuSecondsOf(pid) - before, peakMiB: peakMiBOf(pid) });
}

/** The process that has the device of the mount's connection open; the connection's number is that of the file system. */
function serverOf(target: string): number {
  const { dev } = statSync(target);
  const minor = (dev & 0xff) | ((dev >> 12) & ~0xff); // as makedev(3) lays it out
  const connection = new RegExp(`^fuse_connection:\\s*${minor}$`, "m");
  for (const path of globSync("/proc/[0-9]*/fdinfo/*")) {
    try {
      if (connection.test(readFileSync(path, "latin1"))) return Number(path.split("/")[2]);
    } catch {
      // it was closed meanwhile
    }
  }
  throw new Error(`no process serves "${target}"`);
}

function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13); // utime and stime
  return (Number(user) + Number(system)) / TICKS_PER_SECOND;
}

function peakMiBOf(pid: number): number {
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]) / 1024;
}
