/**
 * Containers: a snapshot, its mount, and a process in it. The snapshot has the container's name, and what works on
 * snapshots (diff, commit, mounts) works on it, running or not.
 *
 * Order: snapshot and mount → row → process, and backwards. Whoever runs a container holds its lock for as long, so one
 * whose lock is free and whose row says "running" was left by a process that died: `repairContainers` finishes it.
 */

import { closeSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ConflictError, NotFoundError } from "../../src/errors.ts";
import { findCgroup, outOfMemoryKills, removeCgroup } from "../../src/exec/cgroup/cgroup.ts";
import { groupName } from "../../src/exec/cgroup/place.ts";
import { chooseDriver } from "../../src/exec/cgroup/systemd.ts";
import type { RuntimeSpec } from "../../src/exec/runtime-spec.ts";
import {
  type ContainerRow,
  getContainer,
  listUnfinishedContainers,
  setContainerExited,
  setContainerOutOfMemory,
  setContainerRunning,
  setContainerStarting,
} from "../../src/meta/containers.ts";
import { getImage } from "../../src/meta/images.ts";
import { getSnapshotById } from "../../src/meta/snapshots.ts";
import { rootOf } from "../../src/mount/id-mapping.ts";
import { bytesOf, display, type HostPath } from "../../src/paths.ts";
import { imageOfRow } from "../image.ts";
import { liveMounts } from "../live-mounts.ts";
import { acquireLock, tryAcquireLock } from "../locks.ts";
import { mountSnapshot } from "../mounts.ts";
import type { ProcessConfig } from "../oci/image-config.ts";
import { removeSnapshot, type Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { formOf } from "../store-form.ts";
import { unmount } from "../unmount.ts";
import { leaveBridge } from "./bridge-network.ts";
import { containerDirectory, type HeldContainer, letWaitersSee, lockName, noContainer } from "./held.ts";
import { userNamespaceMode } from "./namespace-options.ts";
import { type NamespacePlan, openUserNamespace, planNamespaces } from "./namespaces.ts";
import { type ContainerNetwork, prepareNetwork } from "./network.ts";
import type { ContainerOptions } from "./options.ts";
import { ownMounts } from "./own-files.ts";
import { goOnIfAbandoned } from "./pause.ts";
import { makeSharedMemory, removeSharedMemory, sharedMemoryMount } from "./shared-memory.ts";
import { containerSpec, volumesOf } from "./spec.ts";
import { makeVolumes } from "./volumes.ts";

/** A container that is mounted and held by this process, and in which nothing runs yet. */
export interface Container {
  readonly id: number;
  readonly name: string;
  readonly spec: RuntimeSpec;
  /** Of the container's own files. */
  readonly directory: HostPath;
  readonly options: ContainerOptions;
  /** Open as long as it is started, if the container has one. */
  readonly userNamespace: number | null;
  readonly connect: ContainerNetwork["connect"];
}

/** A process that runs in a container. */
export interface StartedProcess {
  /** As the host numbers it. */
  readonly init: number;
  readonly exitCode: Promise<number>;
}

/**
 * A name that no other container's group has, whatever store that is in: the number before the last tells the store.
 * @throws as `chooseDriver`
 */
export function cgroupName(store: Store, container: string, driver = "cgroupfs"): string {
  const { ino } = statSync(bytesOf(store.layout.root), { bigint: true });
  const name = `${container}-${ino.toString(16)}-${Math.random().toString(16).slice(2, 10)}`;
  return groupName(chooseDriver(driver), name);
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
  refuseMounted(store, snapshot);
  const { cgroupDriver = "auto" } = JSON.parse(row.options) as ContainerOptions; // as `createContainer` wrote it
  const cgroup = cgroupName(store, name, cgroupDriver);
  setContainerStarting(store.db, id, cgroup);
  let exitCode: number | null = null;
  try {
    using ports = new DisposableStack(); // open as long as it runs
    const started = await startHeld(store, snapshot, { row, cgroup, ports }, start);
    onStarted(started);
    exitCode = await started.exitCode;
    return exitCode;
  } finally {
    await takeDown(store, id, exitCode);
  }
}

/** Before anything is begun: what a user has mounted is not taken down with it. */
function refuseMounted(store: Store, { id, name }: Snapshot): void {
  const mount = liveMounts(store).find(({ snapshot }) => snapshot === id);
  if (mount === undefined) return;
  const target = display(mount.target);
  const message = `Cannot start container "${name}": it is mounted at "${target}"; unmount it first ("layerctl umount ${name}")`;
  throw new ConflictError("ERR_SNAPSHOT_MOUNTED", message, { data: { name, target } });
}

interface Starting {
  readonly row: ContainerRow;
  readonly cgroup: string;
  /** For what is to be disposed when the container has ended. */
  readonly ports: DisposableStack;
}

/** It runs, and is recorded, when this settles. Until then the ids that it takes are nobody else's. */
async function startHeld<Started extends StartedProcess>(
  store: Store,
  snapshot: Snapshot,
  { row, cgroup, ports }: Starting,
  start: (container: Container) => Promise<Started>,
): Promise<Started> {
  const options = JSON.parse(row.options) as ContainerOptions; // as `createContainer` wrote it
  using _ids = takesIds(options) ? await acquireLock(store.layout, "user-namespaces", "exclusive") : null;
  const plan = planNamespaces(store, options);
  const userNamespace = await openUserNamespace(plan);
  try {
    const [config, files] = [configOf(store, snapshot), containerDirectory(store, snapshot.id)];
    const { id, name } = snapshot;
    const network = ports.use(await prepareNetwork(store, { id, name, options, config, files, ids: plan.ids }));
    const mounting = { row, cgroup, options, plan, userNamespace, network, config };
    const container = await mountContainer(store, snapshot, mounting);
    const started = await start(container);
    setContainerRunning(store.db, snapshot.id, started.init, Date.now());
    return started;
  } finally {
    if (userNamespace !== null) closeSync(userNamespace);
  }
}

function takesIds({ namespaces = {} }: ContainerOptions): boolean {
  return userNamespaceMode(namespaces).kind === "auto";
}

interface Mounting {
  readonly row: ContainerRow;
  readonly cgroup: string;
  readonly options: ContainerOptions;
  readonly plan: NamespacePlan;
  readonly userNamespace: number | null;
  readonly network: ContainerNetwork;
  readonly config: ProcessConfig;
}

async function mountContainer(store: Store, snapshot: Snapshot, mounting: Mounting): Promise<Container> {
  const { row, cgroup, options, plan, userNamespace, network, config } = mounting;
  const { target } = await mountSnapshot(store, snapshot, {
    ignoreCopies: true,
    ...(row.autoRemove && { options: { volatile: true } }),
    isNew: row.startedAtMs === null,
    ...(formOf(store).override !== null && { backend: "fuse" as const, endsWithCaller: true }),
    ...(plan.ids !== null && userNamespace !== null && { idMap: { ...plan.ids, userNamespace } }),
  });
  const directory = containerDirectory(store, snapshot.id);
  if (plan.ipc === "shareable") makeSharedMemory(directory, plan);
  const memory =
    plan.ipcOf === null ? (plan.ipc === "shareable" ? directory : null) : containerDirectory(store, plan.ipcOf);
  const own = [...ownMounts(network.files), ...(memory === null ? [] : [sharedMemoryMount(memory)])];
  await makeVolumes(store, volumesOf(options), target, plan.ids === null ? { uid: 0, gid: 0 } : rootOf(plan.ids));
  const { volumes } = store.layout;
  const spec = containerSpec({ config, options, rootfs: target, network, cgroup, ownMounts: own, volumes, plan });
  const { connect } = network;
  return { id: snapshot.id, name: snapshot.name, spec, directory, options, userNamespace, connect };
}

/** What the container's image says. @throws {NotFoundError} `ERR_IMAGE_NOT_FOUND` */
export function configOf(store: Store, { image, name }: Snapshot): ProcessConfig {
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
  await leaveBridge(store, id);
  removeSharedMemory(containerDirectory(store, id));
  if (liveMounts(store).some((mount) => mount.snapshot === id)) await unmountTree(store, snapshot.name, row);
  setContainerExited(store.db, id, exitCode, Date.now());
  if (row.autoRemove) await letWaitersSee(store, id);
  const isUnused = getContainer(store.db, id)?.state === "created"; // nothing has run in it yet
  if (row.autoRemove || isUnused)
    await removeSnapshot(store, snapshot.name, { ignoreCopies: true, isTransient: row.autoRemove });
}

const PATIENCE_MS = 2_000;
const TURN_MS = 20;

/**
 * Somebody may just be looking at the tree, such as another command; where he stays in it, a container that is kept has ended
 * all the same, and its mount is there until it is unmounted. @throws as `unmount`
 */
async function unmountTree(store: Store, name: string, { autoRemove }: ContainerRow): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(TURN_MS)) {
    try {
      await unmount(store, name, { discard: autoRemove });
      return;
    } catch (error) {
      if (!(error instanceof ConflictError && error.code === "ERR_MOUNT_IN_USE")) throw error;
      if (Date.now() < deadline) continue;
      if (autoRemove) throw error;
      store.logger.warn("container.mount.kept", { name, why: error.message });
      return;
    }
  }
}

function endCgroup(store: Store, row: ContainerRow, name: string): void {
  const cgroup = row.cgroup === null ? null : findCgroup(row.cgroup);
  if (cgroup === null) return;
  const kills = outOfMemoryKills(cgroup);
  if (kills > 0) {
    store.logger.warn("container.out-of-memory", { name, kills });
    setContainerOutOfMemory(store.db, row.snapshot);
  }
  if (!removeCgroup(cgroup)) store.logger.warn("container.cgroup.kept", { name, cgroup: cgroup.name });
}

/**
 * Finishes the containers whose runner died: their processes died with it, and what is left of them goes. One that somebody
 * starts, runs or finishes now is left alone.
 */
export async function repairContainers(store: Store): Promise<void> {
  if (store.db.isReadOnly) return;
  for (const unfinished of listUnfinishedContainers(store.db)) {
    const { snapshot } = unfinished;
    goOnIfAbandoned(store, unfinished);
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
