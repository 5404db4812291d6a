/**
 * Tells whether an upperdir stayed still while it was read. Every file is looked at before it is read and once more after
 * everything has been read; if nothing has changed in between, all of it was true at one moment, the end of the walk.
 *
 * Reading needs no sync first: a mount and its upperdir share one page cache. What this cannot see is a program that
 * writes through a shared mapping whose pages were dirty before: such writes change no time.
 */

import { isErrno } from "../../src/errors.ts";
import type { HostPath } from "../../src/paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../src/sys/file.ts";
import { type Stat, statAtOrNull } from "../../src/sys/stat.ts";

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
  using parents = new OpenParent();
  return seen.find(({ hostPath, stat }) => !isAsItWas(parents, hostPath, stat))?.hostPath ?? null;
}

function isAsItWas(parents: OpenParent, path: HostPath, before: Stat): boolean {
  try {
    const now = parents.statAt(path);
    return now !== null && before.isUnchangedIn(now);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return false; // a directory above it is gone
    throw error;
  }
}

/** Stats files in the order of their directories: relative to an open one it costs two thirds. */
class OpenParent implements Disposable {
  #path = "";
  #fd: number | null = null;

  /** null if there is no such file. @throws PosixError if the directory that it was in cannot be opened */
  statAt(path: HostPath): Stat | null {
    const slash = path.lastIndexOf("/");
    const parent = path.slice(0, slash) as HostPath;
    if (this.#fd === null || parent !== this.#path) this.#open(parent);
    return statAtOrNull(this.#fd ?? AT_FDCWD, path.slice(slash + 1));
  }

  [Symbol.dispose](): void {
    if (this.#fd !== null) close(this.#fd);
    this.#fd = null;
  }

  #open(parent: HostPath): void {
    this[Symbol.dispose]();
    this.#fd = openAt(AT_FDCWD, parent, O_PATH | O_DIRECTORY);
    this.#path = parent;
  }
}
