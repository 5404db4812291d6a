/**
 * Tells whether an upperdir stayed still while it was read. Every file is looked at before it is read and once more after
 * everything has been read; if nothing has changed in between, all of it was true at one moment, the end of the walk.
 *
 * Reading needs no sync first: a mount and its upperdir share one page cache. What this cannot see is a program that
 * writes through a shared mapping whose pages were dirty before: such writes change no time.
 */

import { isErrno } from "../../src/errors.ts";
import type { HostPath } from "../../src/paths.ts";
import { AT_FDCWD, type Stat, statAtOrNull } from "../../src/sys/file.ts";

/** A file of the upperdir and how it was before it was looked at. */
export interface SeenFile {
  readonly hostPath: HostPath;
  readonly stat: Stat;
}

/** How long two changes may have the same time: a tick of the slowest kernel clock, and as much again. */
const TICK_NS = 20_000_000n;

/** The first file that changed so shortly before `nowNs` that a change after it could have the same time; or null. */
export function findUnsettled(seen: readonly SeenFile[], nowNs: bigint): HostPath | null {
  const isRecent = ({ ctimeNs }: Stat): boolean => ctimeNs > nowNs - TICK_NS && ctimeNs < nowNs + TICK_NS;
  return seen.find(({ stat }) => isRecent(stat))?.hostPath ?? null;
}

/** How long to wait until no file is unsettled any more, unless it is changed again. */
export const SETTLE_MS = Number(TICK_NS / 1_000_000n) + 1;

/** The first of `seen` that is not as it was; null if all are. */
export function findChanged(seen: readonly SeenFile[]): HostPath | null {
  return seen.find(({ hostPath, stat }) => !isSame(stat, statNow(hostPath)))?.hostPath ?? null;
}

function statNow(path: HostPath): Stat | null {
  try {
    return statAtOrNull(AT_FDCWD, path);
  } catch (error) {
    if (isErrno(error, "ENOTDIR")) return null; // a directory above it is gone
    throw error;
  }
}

/** By the change time, which nobody can set, and what shows a file put in its place. */
function isSame(before: Stat, now: Stat | null): boolean {
  if (now === null) return false;
  return before.ctimeNs === now.ctimeNs && before.ino === now.ino && before.sizeBytes === now.sizeBytes;
}
