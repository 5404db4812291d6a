/**
 * Mounts of images and snapshots: what is mounted where is recorded, and never believed without a look at the kernel's
 * table. A mount needs no process of ours to live.
 *
 * Order: snapshot durable → mount → row; unmount → row gone. A crash leaves a mount without a row or a row without a
 * mount, and `repairMounts` settles both.
 */

import { closeSync, mkdirSync, openSync } from "node:fs";
import { ConflictError, isErrno, NotFoundError, UsageError } from "../src/errors.ts";
import { getImage } from "../src/meta/images.ts";
import { deleteMount, getMount, getMountAt, insertMount, type MountRow } from "../src/meta/mounts.ts";
import { getSnapshotRow } from "../src/meta/snapshots.ts";
import { type Backend, chooseBackend, type RequestedBackend } from "../src/mount/backend.ts";
import { MAX_LAYERS, mountOverlay } from "../src/mount/kernel-overlay.ts";
import { mountsBelow, readMountTable } from "../src/mount/mount-info.ts";
import type { MountSpec } from "../src/mount/mount-spec.ts";
import { mountUsers } from "../src/mount/mount-users.ts";
import {
  checkOverlayOptions,
  formatOverlayOptions,
  type OverlayOptions,
  parseOverlayOptions,
} from "../src/mount/overlay-options.ts";
import { hasVolatileMark, removeVolatileMark } from "../src/mount/volatile-mark.ts";
import { bytesOf, display, type HostPath } from "../src/paths.ts";
import { umount } from "../src/sys/mount.ts";
import { syncFileSystem } from "../src/sys/sync.ts";
import { type Image, imageOfRow, lowerdirsOf } from "./image.ts";
import {
  forgetLostMount,
  type LiveMount,
  liveMounts,
  mountLockName,
  removeTarget,
  repairMounts,
  viewBase,
} from "./live-mounts.ts";
import { acquireLock } from "./locks.ts";
import { canonicalPath, type MountTarget, openTarget, refuseMounted } from "./mount-target.ts";
import { findImage } from "./resolve-image.ts";
import { getSnapshot, listSnapshots, prepare, removeSnapshot, type Snapshot } from "./snapshots/snapshots.ts";
import type { Store } from "./store.ts";
import { ensureUnpacked } from "./unpack.ts";
import { refuseOpaqueDirectories } from "./user-namespace-marks.ts";

export interface MountRequest {
  /** Default: a directory of the store. Made if its parent exists. */
  readonly target?: string;
  /** Of the snapshot. One that is there is continued, if it was made from the same image. */
  readonly name?: string;
  readonly readOnly?: boolean;
  /** Give a new snapshot the stubs that a runtime wants to find (`makeInitLayer`). */
  readonly init?: boolean;
  readonly backend?: RequestedBackend;
  /** Default: those that the snapshot was made with. */
  readonly options?: OverlayOptions;
  readonly signal?: AbortSignal;
}

/** A snapshot that is mounted. */
export interface MountedSnapshot {
  readonly snapshot: Snapshot;
  readonly target: HostPath;
  readonly backend: Backend;
}

/** A snapshot and its mount as the kernel has it now. */
export interface SnapshotMount {
  readonly snapshot: Snapshot;
  /** null: not mounted. */
  readonly mount: MountRow | null;
  /** Where it was mounted until something other than layerctl took the mount away; told once. */
  readonly lostFrom: HostPath | null;
}

/**
 * Mounts an image as a new snapshot, or the snapshot called `text` again (or `name`, if it was made from that image).
 * A snapshot made here is removed again if it cannot be mounted.
 * @throws {NotFoundError} `ERR_IMAGE_NOT_FOUND`
 * @throws {ConflictError} `ERR_SNAPSHOT_EXISTS` if `name` is a snapshot of another image
 * @throws as `mountSnapshot`
 */
export async function mountImage(store: Store, text: string, request: MountRequest = {}): Promise<MountedSnapshot> {
  chooseBackend(request.backend ?? "auto");
  const known = knownSnapshot(store, text, request.name);
  if (known !== null) return mountSnapshot(store, known, request);
  const { row, reference } = findImage(store, text);
  const view = request.readOnly ?? false;
  const options = request.options ?? {};
  checkOverlayOptions(options, !view);
  const image = imageOfRow(store, row);
  await ensureUnpacked(store, image.layers, signalOf(request));
  const snapshot = await prepare(store, {
    image,
    view,
    init: request.init ?? false,
    options: formatOverlayOptions(options),
    ...(request.name === undefined ? {} : { name: request.name }),
    ...(reference === null ? {} : { reference }),
  });
  try {
    return await mountSnapshot(store, snapshot, request);
  } catch (error) {
    await removeSnapshot(store, snapshot.name);
    throw error;
  }
}

/** The snapshot to be mounted again; null if a new one is wanted. */
function knownSnapshot(store: Store, text: string, name: string | undefined): Snapshot | null {
  const row = getSnapshotRow(store.db, name ?? text);
  if (row === null) return null;
  if (name !== undefined && name !== text && findImage(store, text).row.digest !== row.image) {
    const message =
      `Cannot mount image "${text}" as "${name}": a snapshot of this name was made from image "${row.reference ?? row.image}"; ` +
      `mount "${name}" to continue it, or choose another name`;
    throw new ConflictError("ERR_SNAPSHOT_EXISTS", message, { data: { name } });
  }
  return getSnapshot(store, row.name);
}

/**
 * Mounts a snapshot, with the changes it has. The mount is live and recorded when it returns.
 * @throws {ConflictError} `ERR_SNAPSHOT_MOUNTED`; `ERR_TARGET_MOUNTED`, `ERR_TARGET_TYPE`; `ERR_VOLATILE_MARK`
 * @throws {UsageError} `ERR_TARGET_IN_STORE`, `ERR_MOUNT_OPTION_CONFLICT`
 * @throws as `openTarget`, `mountOverlay` and `ensureUnpacked`
 */
export async function mountSnapshot(
  store: Store,
  snapshot: Snapshot,
  request: MountRequest = {},
): Promise<MountedSnapshot> {
  const backend = chooseBackend(request.backend ?? "auto");
  const options = optionsFor(snapshot, request.options);
  const image = imageOf(store, snapshot);
  await ensureUnpacked(store, image.layers, signalOf(request));
  await using _lock = await acquireLock(store.layout, mountLockName(snapshot.id), "exclusive", signalOf(request));
  const table = readMountTable();
  refuseMountedSnapshot(store, snapshot, table);
  const target = targetOf(store, snapshot, request.target, table);
  let isMounted = false;
  try {
    mountOverlay(specOf(store, snapshot, image, target.path, options, request.readOnly ?? false));
    isMounted = true;
    record(store, snapshot, target, backend, options);
  } catch (error) {
    if (isMounted) umount(target.path);
    if (target.made) removeTarget(target.path);
    throw error;
  }
  return { snapshot, target: target.path, backend };
}

function signalOf({ signal }: MountRequest): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function imageOf(store: Store, snapshot: Snapshot): Image {
  const row = snapshot.image === null ? null : getImage(store.db, snapshot.image);
  if (row !== null) return imageOfRow(store, row);
  const message = `Cannot mount snapshot "${snapshot.name}": its image "${snapshot.image}" is not in the store`;
  throw new NotFoundError("ERR_IMAGE_NOT_FOUND", message, { data: { name: snapshot.name } });
}

/** The options to mount with. `userxattr` decides how changes are marked, so a snapshot keeps what it began with. */
function optionsFor(snapshot: Snapshot, asked: OverlayOptions | undefined): OverlayOptions {
  const first = parseOverlayOptions(snapshot.options);
  const options = asked ?? first;
  checkOverlayOptions(options, snapshot.upperdir !== null);
  if (snapshot.upperdir === null || (options.userxattr ?? false) === (first.userxattr ?? false)) return options;
  const state = first.userxattr ? "it was made with userxattr and needs it" : "it was made without userxattr";
  const message = `Cannot mount snapshot "${snapshot.name}" with these options: ${state}`;
  throw new UsageError("ERR_MOUNT_OPTION_CONFLICT", message, { data: { name: snapshot.name } });
}

function refuseMountedSnapshot(store: Store, snapshot: Snapshot, table: string): void {
  const row = getMount(store.db, snapshot.id);
  const live = liveMounts(store, table).find((mount) => mount.snapshot === snapshot.id);
  if (live === undefined) {
    if (row !== null) forgetLostMount(store, row);
    return;
  }
  const target = display(live.target);
  const message = `Cannot mount snapshot "${snapshot.name}": it is mounted at "${target}"; use it there, or unmount it first`;
  throw new ConflictError("ERR_SNAPSHOT_MOUNTED", message, { data: { name: snapshot.name, target } });
}

function targetOf(store: Store, snapshot: Snapshot, wanted: string | undefined, table: string): MountTarget {
  if (wanted !== undefined) return openTarget(store.layout, wanted, table);
  mkdirSync(bytesOf(snapshot.merged), { recursive: true, mode: 0o755 });
  refuseMounted(snapshot.merged, table);
  return { path: snapshot.merged, made: false };
}

function specOf(
  store: Store,
  snapshot: Snapshot,
  image: Image,
  target: HostPath,
  options: OverlayOptions,
  readOnly: boolean,
): MountSpec {
  const { upperdir, workdir } = snapshot;
  const layers = [...(snapshot.initdir === null ? [] : [snapshot.initdir]), ...lowerdirsOf(store, image)];
  if (options.userxattr) refuseOpaqueDirectories(layers);
  if (upperdir === null || workdir === null) {
    const base = viewBase(store, snapshot.id); // overlayfs wants two layers where there is no upperdir
    mkdirSync(bytesOf(base), { recursive: true, mode: 0o755 });
    const lowerdirs = layers.length < MAX_LAYERS ? [...layers, base] : layers;
    return { lowerdirs, upperdir: null, workdir: null, target, readOnly: true, options };
  }
  if (options.volatile) removeVolatileMark(workdir); // who asks for volatile takes the changes as they are
  return { lowerdirs: layers, upperdir, workdir, target, readOnly, options };
}

function record(
  store: Store,
  snapshot: Snapshot,
  target: MountTarget,
  backend: Backend,
  options: OverlayOptions,
): void {
  store.db.transaction("relaxed", () => {
    const other = getMountAt(store.db, target.path); // nothing is mounted there, so that row is of a mount that was lost
    if (other !== null) forgetLostMount(store, { ...other, targetMade: false });
    insertMount(store.db, {
      snapshot: snapshot.id,
      target: target.path,
      backend,
      options: formatOverlayOptions(options),
      targetMade: target.made,
      createdAtMs: Date.now(),
    });
  });
}

/** What was unmounted. */
export interface Unmounted {
  /** null if the mount was of a snapshot that is gone. */
  readonly name: string | null;
  readonly targets: readonly HostPath[];
}

/**
 * Unmounts a snapshot by its name or target and keeps its changes. A target that was made for the mount is removed.
 * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
 * @throws {ConflictError} `ERR_NOT_MOUNTED`; `ERR_MOUNT_IN_USE` with the processes and mounts that use it
 */
export async function unmount(
  store: Store,
  nameOrTarget: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Unmounted> {
  const id = mountedSnapshotId(store, nameOrTarget);
  await using _lock = await acquireLock(store.layout, mountLockName(id), "exclusive", options);
  const row = getMount(store.db, id);
  const live = liveMounts(store).filter((mount) => mount.snapshot === id);
  const snapshot = listSnapshots(store).find((each) => each.id === id) ?? null;
  if (live.length === 0) {
    if (row !== null) forgetLostMount(store, row);
    throw new ConflictError("ERR_NOT_MOUNTED", `Cannot unmount "${nameOrTarget}": it is not mounted`);
  }
  for (const mount of live.toReversed()) unmountTarget(mount);
  if (row !== null) deleteMount(store.db, id);
  if (row?.targetMade) removeTarget(row.target);
  if (snapshot?.workdir != null && hasVolatileMark(snapshot.workdir)) await settleVolatile(snapshot.workdir);
  return { name: snapshot?.name ?? null, targets: live.map((mount) => mount.target) };
}

function mountedSnapshotId(store: Store, nameOrTarget: string): number {
  const row = getSnapshotRow(store.db, nameOrTarget);
  if (row !== null) return row.id;
  const target = canonicalPath(nameOrTarget);
  const live = liveMounts(store).find((mount) => mount.target === target);
  return live?.snapshot ?? getSnapshot(store, nameOrTarget).id;
}

function unmountTarget({ target }: LiveMount): void {
  try {
    umount(target);
  } catch (error) {
    if (!isErrno(error, "EBUSY")) throw error;
    throw inUse(target);
  }
}

function inUse(target: HostPath): ConflictError {
  const users = mountUsers(target).map(({ pid, command, path }) => ({
    pid,
    command: display(command),
    path: display(path),
  }));
  const mounts = mountsBelow(target)
    .filter((mount) => mount.target !== target)
    .map((mount) => display(mount.target));
  const words = [
    ...users.map(({ pid, command, path }) => `process ${pid} (${command}) uses "${path}"`),
    ...mounts.map((mount) => `"${mount}" is mounted below it`),
  ];
  const state = words.length === 0 ? "it is in use" : words.join(", ");
  return new ConflictError("ERR_MOUNT_IN_USE", `Cannot unmount "${display(target)}": ${state}`, {
    data: { target: display(target), processes: users, mounts },
  });
}

/** After a clean unmount nothing of a volatile mount is lost once it is written out: the next mount may go on. */
async function settleVolatile(workdir: HostPath): Promise<void> {
  const fd = openSync(bytesOf(workdir), "r");
  try {
    await syncFileSystem(fd);
  } finally {
    closeSync(fd);
  }
  removeVolatileMark(workdir);
}

/**
 * Every snapshot, oldest first, with its mount. What was recorded is compared with the kernel's table first and put
 * right: a mount lost to a reboot or an umount(8) is forgotten and logged, one without a record is recorded.
 */
export function listMounts(store: Store): readonly SnapshotMount[] {
  const { lost } = repairMounts(store);
  return listSnapshots(store).map((snapshot) => ({
    snapshot,
    mount: getMount(store.db, snapshot.id),
    lostFrom: lost.find((row) => row.snapshot === snapshot.id)?.target ?? null,
  }));
}
