/** What is done to a container from outside: signals, and waiting for its end. */

import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ConflictError, NotFoundError, UsageError } from "../../src/errors.ts";
import { isFrozen, thaw } from "../../src/exec/cgroup/freezer.ts";
import { sendSignal } from "../../src/exec/signal.ts";
import { signalNumber } from "../../src/exec/signal-number.ts";
import { getContainer } from "../../src/meta/containers.ts";
import { getImage } from "../../src/meta/images.ts";
import { getSnapshotById } from "../../src/meta/snapshots.ts";
import { imageOfRow } from "../image.ts";
import { getSnapshot, removeSnapshot, type Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { repairContainers } from "./containers.ts";
import { findContainer, isHeld, isRunning, keepForWaiter, untilEnded } from "./held.ts";
import { cgroupOf } from "./pause.ts";

/**
 * A signal's number: "TERM", "SIGTERM", "15", "RTMIN+3".
 * @throws {UsageError} `ERR_SIGNAL`
 */
export function parseSignal(text: string): number {
  const number = signalNumber(text);
  if (number !== null) return number;
  throw new UsageError("ERR_SIGNAL", `Cannot send signal "${text}": there is none of this name`, {
    data: { signal: text },
  });
}

/**
 * Sends a signal to the first process of a container. A paused one goes on where it is to end, by SIGKILL or the image's
 * stop signal; other signals wait in it.
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED`
 * @throws as `findContainer`
 */
export function killContainer(store: Store, name: string, signal: number): void {
  const snapshot = findContainer(store, name);
  const isToEnd = signal === constants.signals.SIGKILL || signal === stopSignalOf(store, snapshot);
  if (!(isToEnd ? endBy(store, snapshot.id, signal) : signalTo(store, snapshot.id, signal))) throw isStopped(name);
}

/** False if nothing runs in it. */
function signalTo(store: Store, id: number, signal: number): boolean {
  const init = getContainer(store.db, id)?.init;
  return init != null && isHeld(store, id) && sendSignal(init, signal);
}

/** Sends a signal, and lets the container go on if it is paused, so that the signal comes to something. As `signalTo`. */
function endBy(store: Store, id: number, signal: number): boolean {
  if (!signalTo(store, id, signal)) return false;
  const row = getContainer(store.db, id);
  const group = row === null ? null : cgroupOf(row);
  if (group !== null && isFrozen(group)) thaw(group);
  return true;
}

/**
 * Ends a container: its image's stop signal (SIGTERM unless it says another), and SIGKILL to what is still there after
 * `graceMs`. One that has ended is fine.
 * @throws as `findContainer`, and what `signal` was aborted with
 */
export async function stopContainer(store: Store, name: string, graceMs: number, signal: AbortSignal): Promise<void> {
  const snapshot = findContainer(store, name);
  if (!endBy(store, snapshot.id, stopSignalOf(store, snapshot))) return await untilEnded(store, snapshot.id, signal);
  const patience = AbortSignal.any([AbortSignal.timeout(graceMs), signal]);
  try {
    await untilEnded(store, snapshot.id, patience);
  } catch (error) {
    if (signal.aborted || !patience.aborted) throw error;
    endBy(store, snapshot.id, constants.signals.SIGKILL);
    await untilEnded(store, snapshot.id, signal);
  }
}

function stopSignalOf(store: Store, { image }: Snapshot): number {
  const row = image === null ? null : getImage(store.db, image);
  const text = row === null ? null : imageOfRow(store, row).config.config?.StopSignal;
  return parseSignal(text == null || text === "" ? "TERM" : text);
}

const TURN_MS = 10;

/**
 * Waits until a container has ended: its exit code.
 * @throws {NotFoundError} `ERR_CONTAINER_GONE` if it was removed before that could be read
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED` if it was never started, or nobody saw it end
 * @throws as `findContainer`, and what `signal` was aborted with
 */
export async function waitForContainer(store: Store, name: string, signal: AbortSignal): Promise<number> {
  const { id } = findContainer(store, name);
  using _kept = keepForWaiter(store, id);
  const message = `Cannot wait for container "${name}":`;
  for (;;) {
    const isRun = isHeld(store, id); // before the row, which is written last
    const row = getContainer(store.db, id);
    if (row === null) {
      throw new NotFoundError("ERR_CONTAINER_GONE", `${message} it has ended and was removed`, { data: { name } });
    }
    if (row.state !== "running" && row.exitCode !== null) return row.exitCode; // also while it is being removed
    if (!isRun) throw new ConflictError("ERR_CONTAINER_STOPPED", `${message} nobody saw it end`, { data: { name } });
    await sleep(TURN_MS, undefined, { signal });
  }
}

/**
 * Removes a snapshot or container; with `force` what runs in it is killed first.
 * @throws {ConflictError} `ERR_CONTAINER_RUNNING`
 * @throws as `removeSnapshot`
 */
export async function removeNamed(store: Store, name: string, force: boolean, signal: AbortSignal): Promise<void> {
  const { id } = getSnapshot(store, name);
  const isContainer = getContainer(store.db, id) !== null;
  if (isContainer && isHeld(store, id)) {
    if (!force) throw isRunning(name, "remove");
    endBy(store, id, constants.signals.SIGKILL);
    await untilEnded(store, id, signal);
    await repairContainers(store); // who ran it may have died of something before it was done
    if (getSnapshotById(store.db, id) === null) return; // it was to go when it ended
  }
  await removeSnapshot(store, name, { signal, ignoreCopies: isContainer });
}

function isStopped(name: string): ConflictError {
  const message = `Cannot send a signal to container "${name}": it is not running`;
  return new ConflictError("ERR_CONTAINER_STOPPED", message, { data: { name } });
}
