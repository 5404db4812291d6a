/** Which processes keep a mount busy, as fuser(1) finds them: by what they have open, run, map or stand in. */

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { byteString, bytesOf, type HostPath } from "../paths.ts";

/** A process with something below a directory. */
export interface MountUser {
  readonly pid: number;
  /** As in /proc/PID/comm, a byte string. */
  readonly command: string;
  /** The first path found, a byte string. */
  readonly path: string;
}

/** The processes using something below `directory` that this process may look at, by pid; at most `limit`. */
export function mountUsers(directory: HostPath, limit = 10): readonly MountUser[] {
  const users: MountUser[] = [];
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  for (const pid of pids.sort((a, b) => a - b)) {
    if (users.length === limit) break;
    const path = pathsOf(pid).find((each) => each === directory || each.startsWith(`${directory}/`));
    if (path !== undefined) users.push({ pid, command: commandOf(pid), path });
  }
  return users;
}

function pathsOf(pid: number): readonly string[] {
  const links = ["cwd", "root", "exe"].map((name) => `/proc/${pid}/${name}`);
  for (const fd of attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? []) links.push(`/proc/${pid}/fd/${fd}`);
  const targets = links.map((link) => attempt(() => byteString(readlinkSync(link, "buffer"))) ?? "");
  const maps = attempt(() => byteString(readFileSync(`/proc/${pid}/maps`))) ?? "";
  return [...targets, ...maps.split("\n").map((line) => line.slice(line.indexOf("/")))];
}

function commandOf(pid: number): string {
  return attempt(() => byteString(readFileSync(bytesOf(`/proc/${pid}/comm`))).trimEnd()) ?? "?";
}

/** null for what a process that ends meanwhile, or belongs to somebody else, does not show. */
function attempt<Result>(action: () => Result): Result | null {
  try {
    return action();
  } catch {
    return null;
  }
}
