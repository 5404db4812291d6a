/**
 * Which process may start a container, and whether one does: flock(2) on its lock, which whoever runs the container holds for
 * as long as it runs. Making one holds it from the first moment.
 */

import { ConflictError, UnsupportedError } from "../../src/errors.ts";
import { getContainer, insertContainer, setContainerStarting } from "../../src/meta/containers.ts";
import { getSnapshotRow } from "../../src/meta/snapshots.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { canMakeNamespaces, isInUserNamespace } from "../../src/privilege.ts";
import { imageOfRow } from "../image.ts";
import { snapshotDirectory } from "../layout.ts";
import { acquireLock, type Lock, tryAcquireLock } from "../locks.ts";
import { findImage } from "../resolve-image.ts";
import { checkSnapshotName } from "../snapshots/names.ts";
import { getSnapshot, prepare, type Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { formOf } from "../store-form.ts";
import { ensureUnpacked } from "../unpack.ts";
import { type ContainerOptions, parseSecurityOptions } from "./options.ts";
import { checkOptions } from "./spec.ts";

export interface ContainerRequest {
  readonly options: ContainerOptions;
  /** Default: the image's, with four random digits. */
  readonly name?: string;
  /** It goes when it has ended. */
  readonly autoRemove: boolean;
  readonly signal?: AbortSignal;
}

/** Where a container's own files are: what is mounted into it, and its log. */
export function containerDirectory(store: Store, id: number): HostPath {
  return joinHost(snapshotDirectory(store.layout, id), "container");
}

/** Of the lock that whoever runs a container holds. */
export function lockName(id: number): string {
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
 * @throws {UnsupportedError} `ERR_NEEDS_ROOT`, `ERR_SECCOMP_LAUNCHER`
 */
export async function createContainer(store: Store, text: string, request: ContainerRequest): Promise<HeldContainer> {
  requirePrivileges(store);
  const { row, reference } = findImage(store, text);
  const image = imageOfRow(store, row);
  checkOptions(image.config.config ?? {}, request.options);
  refuseOwnProfile(request.options);
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
  requirePrivileges(store);
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

/** No program of util-linux 2.38 loads a filter, and this process, which has threads, cannot load one for another. */
function refuseOwnProfile({ runtime, securityOptions }: ContainerOptions): void {
  const { seccomp } = parseSecurityOptions(securityOptions);
  if (runtime !== undefined || seccomp === "default" || seccomp === "unconfined") return;
  const message =
    "Cannot use a seccomp profile: layerctl's own launcher loads none; use --runtime crun or runc with it";
  throw new UnsupportedError("ERR_SECCOMP_LAUNCHER", message);
}

function requirePrivileges(store: Store): void {
  if (!canMakeNamespaces()) throw needsRoot("this user may neither mount nor make namespaces here; run it as root");
  if (isInUserNamespace() && formOf(store).override === null) {
    throw needsRoot(
      "root has unpacked the images of this store, and in a user namespace nobody is root; run it as root, or import them into a store of your own",
    );
  }
}

function needsRoot(state: string): UnsupportedError {
  return new UnsupportedError("ERR_NEEDS_ROOT", `Cannot start a container: ${state}`);
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

/** For as long as somebody may hold a container only to see whether it runs. */
const LOOK_MS = 200;

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

/** For a snapshot that is no container. */
export function noContainer(name: string): ConflictError {
  const message = `Cannot use "${name}" as a container: it is a snapshot; "layerctl mount ${name}" mounts it`;
  return new ConflictError("ERR_NO_CONTAINER", message, { data: { name } });
}

/** For what cannot be done to a container that runs. */
export function isRunning(name: string, verb: string): ConflictError {
  const message = `Cannot ${verb} container "${name}": it is running; stop it first ("layerctl stop ${name}")`;
  return new ConflictError("ERR_CONTAINER_RUNNING", message, { data: { name } });
}

function waitersLockName(id: number): string {
  return `container-waiters-${id}`;
}

/** As long as it is held, a container that goes when it ends stays until its exit code was seen; null if it goes now. */
export function keepForWaiter(store: Store, id: number): Lock | null {
  return tryAcquireLock(store.layout, waitersLockName(id), "shared");
}

const WAITERS_PATIENCE_MS = 3_000;

/** Returns when everybody who waits for the container has seen its exit code, or is too slow. */
export async function letWaitersSee(store: Store, id: number): Promise<void> {
  const signal = AbortSignal.timeout(WAITERS_PATIENCE_MS);
  try {
    using _lock = await acquireLock(store.layout, waitersLockName(id), "exclusive", { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
