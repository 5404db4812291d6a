/**
 * Pausing containers. Whether one is paused is not recorded: the freezer of its group says it, so that no crash makes it wrong.
 */

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { ConflictError, UnsupportedError } from "../../src/errors.ts";
import { findCgroup } from "../../src/exec/cgroup/cgroup.ts";
import { freeze, isFrozen, thaw } from "../../src/exec/cgroup/freezer.ts";
import type { Cgroup } from "../../src/exec/cgroup/group.ts";
import { type ContainerRow, getContainer } from "../../src/meta/containers.ts";
import { bytesOf, joinHost } from "../../src/paths.ts";
import { acquireLock, tryAcquireLock } from "../locks.ts";
import type { Store } from "../store.ts";
import { containerDirectory, findContainer, isHeld } from "./held.ts";

/** The group of a container in which something runs; null without one. */
export function cgroupOf({ cgroup, init }: ContainerRow): Cgroup | null {
  return cgroup === null || init === null ? null : findCgroup(cgroup);
}

/** True while the container is paused. */
export function isPaused(row: ContainerRow): boolean {
  const group = cgroupOf(row);
  return group !== null && isFrozen(group);
}

/**
 * Stops everything that runs in a container until `unpauseContainer`.
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED`, `ERR_CONTAINER_PAUSED`
 * @throws {UnsupportedError} `ERR_CGROUP_CONTROLLER` if it has no group
 * @throws as `freeze` and `findContainer`
 */
export function pauseContainer(store: Store, name: string): void {
  const group = runningGroup(store, name, "pause");
  if (isFrozen(group)) throw wrongState("ERR_CONTAINER_PAUSED", "pause", name, "it is paused already");
  freeze(group);
}

/**
 * Lets a paused container go on.
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED`, `ERR_CONTAINER_NOT_PAUSED`
 * @throws as `findContainer`
 */
export function unpauseContainer(store: Store, name: string): void {
  const group = runningGroup(store, name, "unpause");
  if (!isFrozen(group)) throw wrongState("ERR_CONTAINER_NOT_PAUSED", "unpause", name, "it is not paused");
  thaw(group);
}

/**
 * Waits for a `whilePaused` of others to end.
 * @throws {ConflictError} `ERR_CONTAINER_PAUSED` if the container is paused: `verb` is what cannot be done then
 */
export async function refusePaused(store: Store, id: number, name: string, verb: string): Promise<void> {
  using _lock = await acquireLock(store.layout, pauseLockName(id), "shared");
  const row = getContainer(store.db, id);
  if (row === null || !isPaused(row)) return;
  throw wrongState("ERR_CONTAINER_PAUSED", verb, name, `it is paused; "layerctl unpause ${name}" lets it go on`);
}

/**
 * Does `work` while the container `id` stands still; one that is not running, or paused already, stays as it is. If this
 * process is killed meanwhile, the next command lets the container go on.
 * @throws as `freeze`, what `work` throws, and what `signal` was aborted with
 */
export async function whilePaused<Result>(
  store: Store,
  id: number,
  work: () => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  if (getContainer(store.db, id) === null) return await work();
  const options = signal === undefined ? {} : { signal };
  using _lock = await acquireLock(store.layout, pauseLockName(id), "exclusive", options);
  const row = getContainer(store.db, id);
  const group = row === null || !isHeld(store, id) ? null : cgroupOf(row);
  if (group === null || isFrozen(group)) return await work();
  writeFileSync(markPath(store, id), "");
  try {
    freeze(group);
    return await work();
  } finally {
    goOn(store, id, group);
  }
}

/** Lets a container go on that `whilePaused` of a process that was killed has left standing still. */
export function goOnIfAbandoned(store: Store, row: ContainerRow): void {
  const { snapshot: id } = row;
  if (!existsSync(markPath(store, id))) return;
  using lock = tryAcquireLock(store.layout, pauseLockName(id), "exclusive");
  const group = cgroupOf(row);
  if (lock !== null && group !== null) goOn(store, id, group);
}

function goOn(store: Store, id: number, group: Cgroup): void {
  if (isFrozen(group)) thaw(group); // it may have ended meanwhile
  rmSync(markPath(store, id), { force: true });
}

function pauseLockName(id: number): string {
  return `container-pause-${id}`;
}

/** Is there while a container stands still for us, and not because its user paused it. */
function markPath(store: Store, id: number): Buffer {
  return bytesOf(joinHost(containerDirectory(store, id), "paused-by-layerctl"));
}

function runningGroup(store: Store, name: string, verb: string): Cgroup {
  const { id } = findContainer(store, name);
  const row = getContainer(store.db, id);
  const isRunning = row?.init != null && isHeld(store, id);
  const group = row === null || !isRunning ? null : cgroupOf(row);
  if (group !== null) return group;
  if (!isRunning) throw wrongState("ERR_CONTAINER_STOPPED", verb, name, "it is not running");
  const state = "it has no control group: none was delegated to this user";
  throw new UnsupportedError("ERR_CGROUP_CONTROLLER", `Cannot ${verb} container "${name}": ${state}`, {
    data: { name },
  });
}

function wrongState(code: string, verb: string, name: string, state: string): ConflictError {
  return new ConflictError(code, `Cannot ${verb} container "${name}": ${state}`, { data: { name } });
}
