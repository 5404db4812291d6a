/**
 * What is not finished lies in `tmp`, each piece held by a flock on itself for as long as its owner lives: `gc` removes
 * what it can lock, so the leavings of a process that died go and the work of one that lives stays.
 */

import { mkdirSync } from "node:fs";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { removeTreeInSteps } from "../../src/sys/remove-tree.ts";
import type { StoreLayout } from "../layout.ts";
import { type Lock, lockExisting } from "../locks.ts";

/** What a temporary is for; the first part of its name. */
export type TemporaryKind = "layer" | "import" | "blob" | "snapshot" | "volume" | "trash";

/** A directory of its own in the store's file system. What is renamed out of it stays; the rest goes with it. */
export class Temporary implements AsyncDisposable {
  readonly path: HostPath;
  readonly #lock: Lock;

  constructor(path: HostPath, lock: Lock) {
    this.path = path;
    this.#lock = lock;
  }

  /** Removes the directory with all that is left in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await removeLargeTree(this.path);
    this.#lock[Symbol.dispose]();
  }
}

const TURN_MS = 20;

/** Removes a tree of the store, letting signals and timers have their turn. Nothing there is fine. @throws PosixError */
export async function removeLargeTree(path: HostPath): Promise<void> {
  let turnEnds = Date.now() + TURN_MS;
  for (const _ of removeTreeInSteps(path)) {
    if (Date.now() < turnEnds) continue;
    await new Promise((resolve) => setImmediate(resolve));
    turnEnds = Date.now() + TURN_MS;
  }
}

/** Makes an empty directory, mode 0700, that `gc` leaves alone until it is disposed or this process ends. */
export function createTemporary(layout: StoreLayout, kind: TemporaryKind): Temporary {
  for (;;) {
    const path = temporaryPath(layout, kind);
    mkdirSync(bytesOf(path), { mode: 0o700 });
    const lock = lockExisting(path);
    if (lock !== null) return new Temporary(path, lock); // null: gc locked it first, and removes it
  }
}

function temporaryPath(layout: StoreLayout, kind: TemporaryKind): HostPath {
  // Unused is enough: node:crypto's random bytes would cost every mount 4 ms of loading.
  return joinHost(layout.temporary, `${kind}-${process.pid}-${Math.random().toString(16).slice(2)}`);
}
