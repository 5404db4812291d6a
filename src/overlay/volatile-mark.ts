/**
 * The mark that a mount with `volatile` leaves in its workdir. The kernel never removes it, not on a clean unmount
 * either, and refuses every later mount: after a crash the upperdir may be incomplete (overlayfs.rst, "Volatile mount").
 */

import { existsSync, mkdirSync, rmSync } from "node:fs";
import { bytesOf, type HostPath, joinHost } from "../paths.ts";

function markPath(workdir: HostPath): HostPath {
  return joinHost(workdir, "work", "incompat", "volatile");
}

/** True if the workdir was used by a volatile mount since the mark was last removed. */
export function hasVolatileMark(workdir: HostPath): boolean {
  return existsSync(bytesOf(markPath(workdir)));
}

/**
 * Allows the next mount. Call it after the upperdir's file system was synced, or when the user takes the upperdir as it
 * is; never on a mount that is live.
 */
export function removeVolatileMark(workdir: HostPath): void {
  rmSync(bytesOf(markPath(workdir)), { recursive: true, force: true });
}

/** Leaves the mark, as a mount with `volatile` does. */
export function makeVolatileMark(workdir: HostPath): void {
  mkdirSync(bytesOf(markPath(workdir)), { recursive: true, mode: 0o700 });
}
