/**
 * Containers: a snapshot, its mount, and a process in it. The snapshot has the container's name, and what works on
 * snapshots (diff, commit, mounts) works on it, running or not.
 *
 * Order: snapshot and mount → row → process, and backwards. Whoever runs a container holds its lock for as long, so one
 * whose lock is free and whose row says "running" was left by a process that died: `repairContainers` finishes it.
 */

import { hostname as hostnameOfHost } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { ConflictError, NotFoundError, UnsupportedError } from "../../src/errors.ts";
import { findCgroup, outOfMemoryKills, removeCgroup } from "../../src/exec/cgroup/cgroup.ts";
import type { RuntimeSpec } from "../../src/exec/runtime-spec.ts";
import {
  type ContainerRow,
  getContainer,
  insertContainer,
  listContainers,
  listUnfinishedContainers,
  setContainerExited,
  setContainerRunning,
  setContainerStarting,
} from "../../src/meta/containers.ts";
import { getImage } from "../../src/meta/images.ts";
import { getSnapshotById, getSnapshotRow, type SnapshotRow } from "../../src/meta/snapshots.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import { imageOfRow } from "../image.ts";
import { snapshotDirectory } from "../layout.ts";
import { liveMounts } from "../live-mounts.ts";
import { acquireLock, type Lock, tryAcquireLock } from "../locks.ts";
import { mountSnapshot } from "../mounts.ts";
import type { ProcessConfig } from "../oci/image-config.ts";
import { findImage } from "../resolve-image.ts";
import { checkSnapshotName } from "../snapshots/names.ts";
import { getSnapshot, prepare, removeSnapshot, type Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { unmount } from "../unmount.ts";
import { ensureUnpacked } from "../unpack.ts";
import type { ContainerOptions } from "./options.ts";
import { writeOwnFiles } from "./own-files.ts";
import { checkOptions, commandOf, containerSpec } from "./spec.ts";

export interface ContainerRequest {
  readonly options: ContainerOptions;
  /** Default: the image's, with four random digits. */
  readonly name?: string;
  /** It goes when it has ended. */
  readonly autoRemove: boolean;
  readonly signal?: AbortSignal;
}

/** A container that is mounted and held by this process, and in which nothing runs yet. */
export interface Container {
  readonly id: number;
  readonly name: string;
  readonly spec: RuntimeSpec;
  /** Of the container's own files. */
  readonly directory: HostPath;
  readonly options: ContainerOptions;
}

/** A process that runs in a container. */
export interface StartedProcess {
  /** As the host numbers it. */
  readonly init: number;
  readonly exitCode: Promise<number>;
}

/** A name that no other container's group has, whatever store that is in. */
export function cgroupName(container: string): string {
  return `layerctl-${container}-${Math.random().toString(16).slice(2, 10)}`;
}

/** Where a container's own files are: what is mounted into it, and its log. */
export function containerDirectory(store: Store, id: number): HostPath {
  return joinHost(snapshotDirectory(store.layout, id), "container");
}

function lockName(id: number): string {
  return `container-${id}`;
}

/** A container that this process may start, and nobody else, until it is disposed. */
export interface HeldContainer extends Disposable {
  readonly snapshot: Snapshot;
}

/**
 * Makes a container of an image: a snapshot with an init layer, and a row. Nothing is mounted or started, and from the first
 * moment it is held: whoever finds it with nobody holding it may finish it.
 * @throws {NotFoundError} `ERR_IMAGE_NOT_FOUND`
 * @throws {ConflictError} `ERR_CONTAINER_EXISTS`
 * @throws {UsageError} as `checkOptions`, `ERR_SNAPSHOT_NAME`
 * @throws {UnsupportedError} `ERR_NEEDS_ROOT`
 */
export async function createContainer(store: Store, text: string, request: ContainerRequest): Promise<HeldContainer> {
  requireRoot();
  const { row, reference } = findImage(store, text);
  const image = imageOfRow(store, row);
  checkOptions(image.config.config ?? {}, request.options);
  if (request.name !== undefined) refuseTaken(store, request.name);
  await ensureUnpacked(store, image.layers, request.signal === undefined ? {} : { signal: request.signal });
  let lock: Lock | null = null as Lock | null; // set in the callback
  const snapshot = await prepare(store, {
    image,
    view: false,
    init: true,
    isTransient: request.autoRemove,
    ...(request.name !== undefined && { name: request.name }),
    ...(reference !== null && { reference }),
    alongside: (id) => {
      lock = tryAcquireLock(store.layout, lockName(id), "exclusive");
      insertContainer(store.db, id, JSON.stringify(request.options), request.autoRemove);
      setContainerStarting(store.db, id, null);
    },
  });
  return { snapshot, [Symbol.dispose]: () => lock?.[Symbol.dispose]() };
}

/**
 * Holds a container that is there, to start it again.
 * @throws {ConflictError} `ERR_CONTAINER_RUNNING`
 * @throws {UnsupportedError} `ERR_NEEDS_ROOT`
 * @throws as `findContainer`
 */
export async function holdContainer(store: Store, name: string): Promise<HeldContainer> {
  requireRoot();
  const snapshot = findContainer(store, name);
  const patience = AbortSignal.timeout(LOOK_MS);
  try {
    const lock = await acquireLock(store.layout, lockName(snapshot.id), "exclusive", { signal: patience });
    return { snapshot, [Symbol.dispose]: () => lock[Symbol.dispose]() };
  } catch (error) {
    if (patience.aborted) throw isRunning(snapshot.name, "start");
    throw error;
  }
}

function requireRoot(): void {
  if (canRestoreOwners()) return;
  const message = "Cannot start a container: that takes root, and not the root of a user namespace; run it as root";
  throw new UnsupportedError("ERR_NEEDS_ROOT", message);
}

/** @throws {ConflictError} `ERR_CONTAINER_EXISTS` if something has this name */
export function refuseTaken(store: Store, name: string): void {
  checkSnapshotName(name);
  const row = getSnapshotRow(store.db, name);
  if (row === null) return;
  const what = getContainer(store.db, row.id) === null ? "snapshot" : "container";
  const message = `Cannot make container "${name}": a ${what} has this name; remove it with "layerctl rm ${name}", or choose another`;
  throw new ConflictError("ERR_CONTAINER_EXISTS", message, { data: { name } });
}

/**
 * Mounts a container, starts a process in it with `start`, waits for the end and cleans up. Its snapshot stays unless it is
 * to be removed, or nothing could be started in it. `onStarted` is called when the process runs. The result is its exit code.
 * @throws as `containerSpec`, `mountSnapshot` and `start`: then nothing is mounted any more
 */
export async function runContainer<Started extends StartedProcess>(
  store: Store,
  { snapshot }: HeldContainer,
  start: (container: Container) => Promise<Started>,
  onStarted: (started: Started) => void = () => {},
): Promise<number> {
  const { id, name } = snapshot;
  const row = getContainer(store.db, id);
  if (row === null) throw noContainer(name);
  const cgroup = cgroupName(name);
  setContainerStarting(store.db, id, cgroup);
  let exitCode: number | null = null;
  try {
    const started = await start(await mountContainer(store, snapshot, row, cgroup));
    setContainerRunning(store.db, id, started.init, Date.now());
    onStarted(started);
    exitCode = await started.exitCode;
    return exitCode;
  } finally {
    await takeDown(store, id, exitCode);
  }
}

async function mountContainer(store: Store, snapshot: Snapshot, row: ContainerRow, cgroup: string): Promise<Container> {
  const options = JSON.parse(row.options) as ContainerOptions; // as `createContainer` wrote it
  const { target } = await mountSnapshot(store, snapshot, row.autoRemove ? { options: { volatile: true } } : {});
  const directory = containerDirectory(store, snapshot.id);
  const hostname = options.hostname ?? (options.network === "host" ? hostnameOfHost() : snapshot.name.slice(0, 63));
  const ownMounts = writeOwnFiles(directory, hostname, options.network);
  const spec = containerSpec({
    config: configOf(store, snapshot),
    options,
    rootfs: target,
    hostname,
    cgroup,
    ownMounts,
  });
  return { id: snapshot.id, name: snapshot.name, spec, directory, options };
}

function configOf(store: Store, { image, name }: Snapshot): ProcessConfig {
  const row = image === null ? null : getImage(store.db, image);
  if (row !== null) return imageOfRow(store, row).config.config ?? {};
  const message = `Cannot start container "${name}": its image "${image}" is not in the store`;
  throw new NotFoundError("ERR_IMAGE_NOT_FOUND", message, { data: { name } });
}

/** Takes away what a container has on the machine; the caller holds its lock. */
async function takeDown(store: Store, id: number, exitCode: number | null): Promise<void> {
  const row = getContainer(store.db, id);
  const snapshot = getSnapshotById(store.db, id);
  if (row === null || snapshot === null) return;
  endCgroup(store, row, snapshot.name);
  if (liveMounts(store).some((mount) => mount.snapshot === id)) {
    await unmount(store, snapshot.name, { discard: row.autoRemove });
  }
  setContainerExited(store.db, id, exitCode, Date.now());
  const isUnused = getContainer(store.db, id)?.state === "created"; // nothing has run in it yet
  if (row.autoRemove || isUnused) await removeWhenFree(store, snapshot.name);
}

function endCgroup(store: Store, row: ContainerRow, name: string): void {
  const cgroup = row.cgroup === null ? null : findCgroup(row.cgroup);
  if (cgroup === null) return;
  const kills = outOfMemoryKills(cgroup);
  if (kills > 0) store.logger.warn("container.out-of-memory", { name, kills });
  if (!removeCgroup(cgroup)) store.logger.warn("container.cgroup.kept", { name, cgroup: cgroup.name });
}

/** For as long somebody may hold a container only to see whether it runs. */
const LOOK_MS = 200;
const PATIENCE_MS = 2_000;
const TURN_MS = 10;

/** As `removePatiently`; if somebody keeps it longer, the next command that repairs tries again. */
async function removeWhenFree(store: Store, name: string): Promise<void> {
  try {
    await removePatiently(store, name);
  } catch (error) {
    if (!(error instanceof ConflictError) || error.code !== "ERR_SNAPSHOT_MOUNTED") throw error;
    store.logger.warn("container.kept", { name, reason: error.message });
  }
}

/**
 * Removes a snapshot. A container that is being started has a copy of every mount for a moment, this one's too: that is
 * waited for. @throws as `removeSnapshot`
 */
export async function removePatiently(
  store: Store,
  name: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(TURN_MS)) {
    try {
      return await removeSnapshot(store, name, options);
    } catch (error) {
      const isElsewhere = error instanceof ConflictError && error.data.pid !== undefined;
      if (!isElsewhere || Date.now() > deadline) throw error;
    }
  }
}

/**
 * Finishes the containers whose runner died: their processes died with it, and what is left of them goes. One that somebody
 * starts, runs or finishes now is left alone.
 */
export async function repairContainers(store: Store): Promise<void> {
  if (store.db.isReadOnly) return;
  for (const { snapshot } of listUnfinishedContainers(store.db)) {
    using lock = tryAcquireLock(store.layout, lockName(snapshot), "exclusive");
    const row = lock === null ? null : getContainer(store.db, snapshot);
    if (row === null || !isUnfinished(row)) continue;
    if (row.state === "running")
      store.logger.warn("container.lost", { name: getSnapshotById(store.db, snapshot)?.name });
    await takeDown(store, snapshot, row.exitCode);
  }
}

function isUnfinished({ state, autoRemove, finishedAtMs }: ContainerRow): boolean {
  return state === "running" || (autoRemove && finishedAtMs !== null);
}

/**
 * The container of this name.
 * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
 * @throws {ConflictError} `ERR_NO_CONTAINER` for a snapshot that is none
 */
export function findContainer(store: Store, name: string): Snapshot {
  const snapshot = getSnapshot(store, name);
  if (getContainer(store.db, snapshot.id) === null) throw noContainer(snapshot.name);
  return snapshot;
}

/** True while a process runs the container. */
export function isHeld(store: Store, id: number): boolean {
  using lock = tryAcquireLock(store.layout, lockName(id), "shared"); // who looks too sees no runner in us
  return lock === null;
}

/** Waits until nobody runs the container any more. @throws what `signal` was aborted with */
export async function untilEnded(store: Store, id: number, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  using _lock = await acquireLock(store.layout, lockName(id), "shared", options);
}

function noContainer(name: string): ConflictError {
  const message = `Cannot use "${name}" as a container: it is a snapshot; "layerctl mount ${name}" mounts it`;
  return new ConflictError("ERR_NO_CONTAINER", message, { data: { name } });
}

/** A container and its snapshot. */
export interface ContainerEntry {
  readonly snapshot: SnapshotRow;
  readonly row: ContainerRow;
  /** What it runs. */
  readonly command: readonly string[];
}

/** Every container, oldest first, as the rows have them: after `repairContainers` they are right. */
export function listContainerEntries(store: Store): readonly ContainerEntry[] {
  return listContainers(store.db).flatMap((row) => {
    const snapshot = getSnapshotById(store.db, row.snapshot);
    if (snapshot === null) return [];
    const image = snapshot.image === null ? null : getImage(store.db, snapshot.image);
    const config = image === null ? {} : (imageOfRow(store, image).config.config ?? {});
    return [{ snapshot, row, command: commandOf(config, JSON.parse(row.options) as ContainerOptions) }];
  });
}

/** For what cannot be done to a container that runs. */
export function isRunning(name: string, verb: string): ConflictError {
  const message = `Cannot ${verb} container "${name}": it is running; stop it first ("layerctl stop ${name}")`;
  return new ConflictError("ERR_CONTAINER_RUNNING", message, { data: { name } });
}
