/**
 * Tells whether an upperdir stayed still while it was read. Every file is looked at in the walk, before any is read, and
 * once more after it has been read: one with content while it is open for that, the others when all has been read. If
 * nothing has changed in between, all of it was true at one moment, the end of the walk.
 *
 * Reading needs no sync first: a mount and its upperdir share one page cache. What this cannot see is a program that
 * writes through a shared mapping whose pages were dirty before: such writes change no time.
 */

import { isErrno } from "../../src/errors.ts";
import type { HostPath } from "../../src/paths.ts";
import { OpenParent } from "../../src/sys/open-parent.ts";
import type { Stat } from "../../src/sys/stat.ts";

/** A file of the upperdir and how it was before it was looked at. */
export interface SeenFile {
  readonly hostPath: HostPath;
  readonly stat: Stat;
}

/** How long two changes may have the same time: a tick of the slowest kernel clock, and as much again. */
const TICK_MS = 20;

/** The first file that changed so shortly before `nowMs` that a change after it could have the same time; or null. */
export function findUnsettled(seen: readonly SeenFile[], nowMs: number): HostPath | null {
  return seen.find(({ stat }) => Math.abs(stat.ctimeMs - nowMs) < TICK_MS)?.hostPath ?? null;
}

/** How long to wait until no file is unsettled any more, unless it is changed again. */
export const SETTLE_MS = TICK_MS + 1;

/** The first of `seen` that is not as it was, but for those in `checked`; null if all are. */
export function findChanged(seen: readonly SeenFile[], checked: ReadonlySet<Stat>): HostPath | null {
  using parents = new OpenParent();
  return seen.find(({ hostPath, stat }) => !checked.has(stat) && !isAsItWas(parents, hostPath, stat))?.hostPath ?? null;
}

function isAsItWas(parents: OpenParent, path: HostPath, before: Stat): boolean {
  try {
    return parents.isUnchanged(path, before);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return false; // a directory above it is gone
    throw error;
  }
}
