/**
 * Locks between processes (and between calls in one process): flock(2) on `locks/NAME`, which the kernel lets go when
 * the holder dies. In use: "layer-HEX", exclusive, while that layer is unpacked (single flight); "gc", shared by all who
 * add files or rows, exclusive for what removes them.
 */

import { closeSync, constants, fstatSync, openSync, type Stats, statSync, unlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isErrno, UsageError } from "../src/errors.ts";
import { bytesOf, type HostPath, joinHost } from "../src/paths.ts";
import { listDirectory } from "../src/sys/directory.ts";
import { tryLock } from "../src/sys/lock.ts";
import type { StoreLayout } from "./layout.ts";

export type LockMode = "shared" | "exclusive";

export interface LockOptions {
  readonly signal?: AbortSignal;
  /** Called once if the lock is not free at once. */
  readonly onWait?: () => void;
}

const NAME = /^[a-z0-9][a-z0-9-]*$/;
const FIRST_WAIT_MS = 2;
const LONGEST_WAIT_MS = 100;

/** A lock that is held. Disposing lets it go; doing so twice is safe. */
export class Lock implements AsyncDisposable, Disposable {
  #fd: number | null;

  constructor(fd: number | null) {
    this.#fd = fd;
  }

  [Symbol.dispose](): void {
    if (this.#fd === null) return;
    closeSync(this.#fd);
    this.#fd = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this[Symbol.dispose]();
  }
}

/**
 * Waits until the lock is held: it looks again after 2 ms, then less and less often, at least every 100 ms.
 * @throws what `signal` was aborted with
 */
export async function acquireLock(
  layout: StoreLayout,
  name: string,
  mode: LockMode,
  options: LockOptions = {},
): Promise<Lock> {
  return await untilFree(() => tryAcquireLock(layout, name, mode), options);
}

/**
 * The exclusive lock on the network namespace that this process is in, whatever store is used: who changes the host's links
 * and rules holds it. Waits as `acquireLock`.
 */
export async function lockHostNetwork(): Promise<Lock> {
  return await untilFree(() => {
    const fd = openSync("/proc/self/ns/net", constants.O_RDONLY);
    return holdsNow(fd, "exclusive") ? new Lock(fd) : null;
  });
}

async function untilFree(take: () => Lock | null, { signal, onWait }: LockOptions = {}): Promise<Lock> {
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    signal?.throwIfAborted();
    const lock = take();
    if (lock !== null) return lock;
    if (waitMs === FIRST_WAIT_MS) onWait?.();
    await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
  }
}

/** The lock if it is free now, else null. */
export function tryAcquireLock(layout: StoreLayout, name: string, mode: LockMode): Lock | null {
  if (!NAME.test(name)) throw new UsageError("ERR_LOCK_NAME", `Cannot lock "${name}": it is not a lock's name`);
  const path = joinHost(layout.locks, name);
  for (;;) {
    const fd = openLockFile(path, mode);
    if (fd === null) return new Lock(null);
    if (!holdsNow(fd, mode)) return null;
    if (isStillAt(fd, path)) return new Lock(fd);
    closeSync(fd); // removeStaleLocks took the file between our open and our lock: this lock excludes nobody
  }
}

/** null for a reader on a read-only file system: there is nobody to be excluded. */
function openLockFile(path: HostPath, mode: LockMode): number | null {
  try {
    return openSync(bytesOf(path), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  } catch (error) {
    if (mode === "shared" && isErrno(error, "EROFS")) return null;
    throw error;
  }
}

/** Removes the files of locks that nobody holds; returns how many. Safe while others lock and unlock. */
export function removeStaleLocks(layout: StoreLayout): number {
  let removed = 0;
  for (const entry of listDirectory(layout.locks)) {
    if (entry.kind !== "file") continue;
    const path = joinHost(layout.locks, entry.name);
    using lock = lockExisting(path);
    if (lock === null) continue;
    unlinkSync(bytesOf(path)); // held by us: whoever has it open finds out in isStillAt
    removed += 1;
  }
  return removed;
}

/**
 * The exclusive lock on a file or directory that is there already, by itself, or null if somebody holds it or it has
 * gone. What is locked this way may be removed.
 */
export function lockExisting(path: HostPath): Lock | null {
  let fd: number;
  try {
    fd = openSync(bytesOf(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
  if (!holdsNow(fd, "exclusive")) return null;
  if (isStillAt(fd, path)) return new Lock(fd);
  closeSync(fd);
  return null;
}

function holdsNow(fd: number, mode: LockMode): boolean {
  let isHeld = false;
  try {
    isHeld = tryLock(fd, mode);
    return isHeld;
  } finally {
    if (!isHeld) closeSync(fd);
  }
}

/** True if `path` still names the open file: not if it was removed, or removed and made again. */
function isStillAt(fd: number, path: HostPath): boolean {
  let named: Stats;
  try {
    named = statSync(bytesOf(path));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
  const open = fstatSync(fd);
  return named.ino === open.ino && named.dev === open.dev;
}
