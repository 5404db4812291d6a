/**
 * Mounts of images and snapshots: what is mounted where is recorded, and never believed without a look at the kernel's
 * table. A mount needs no process of ours to live.
 *
 * Order: snapshot durable → mount → row (and in unmount.ts: unmount → row gone). A crash leaves a mount without a row or
 * a row without a mount, and `repairMounts` settles both.
 */

import { mkdirSync } from "node:fs";
import { ConflictError, NotFoundError } from "../src/errors.ts";
import { getImage } from "../src/meta/images.ts";
import { getMount, getMountAt, insertMount, type MountRow } from "../src/meta/mounts.ts";
import { getSnapshotById, setSnapshotOptions } from "../src/meta/snapshots.ts";
import { type Backend, mountStack, type RequestedBackend } from "../src/mount/backend.ts";
import { MAX_LAYERS } from "../src/mount/kernel-overlay.ts";
import { readMountTable } from "../src/mount/mount-info.ts";
import type { IdMap, MountSpec } from "../src/mount/mount-spec.ts";
import { checkOverlayOptions, formatOverlayOptions, type OverlayOptions } from "../src/mount/overlay-options.ts";
import { removeVolatileMark } from "../src/overlay/volatile-mark.ts";
import { bytesOf, display, type HostPath } from "../src/paths.ts";
import { unmountFuse } from "../src/sys/fusermount.ts";
import { umount } from "../src/sys/mount.ts";
import { type Image, imageOfRow, lowerdirsOf } from "./image.ts";
import { knownSnapshot } from "./known-snapshot.ts";
import {
  describeForeign,
  foreignMounts,
  forgetLostMount,
  liveMounts,
  mountLockName,
  removeDeadMounts,
  removeTarget,
  repairMounts,
  viewBase,
} from "./live-mounts.ts";
import { acquireLock } from "./locks.ts";
import { optionsFor, optionsToKeep } from "./mount-options.ts";
import { type MountTarget, openTarget, refuseMounted } from "./mount-target.ts";
import { findImage, findImageAmongOthers } from "./resolve-image.ts";
import { listSnapshots, prepare, removeSnapshot, type Snapshot } from "./snapshots/snapshots.ts";
import type { Store } from "./store.ts";
import { formOf } from "./store-form.ts";
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
  /** Default: those of the snapshot's last mount. */
  readonly options?: OverlayOptions;
  /** Show ids as a user namespace maps them; on disk they stay the image's. */
  readonly idMap?: IdMap;
  /** Over FUSE: the mount ends with this process, whatever happens to it. */
  readonly endsWithCaller?: boolean;
  /** It was made by this process and mounted by nobody: other mount namespaces need no look. */
  readonly isNew?: boolean;
  readonly signal?: AbortSignal;
  /** As of `removeSnapshot`: a container that has ended is mounted by nobody else. */
  readonly ignoreCopies?: boolean;
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
 * @throws {NotFoundError} `ERR_NAME_NOT_FOUND`, with `name` `ERR_IMAGE_NOT_FOUND`
 * @throws {UsageError} `ERR_SNAPSHOT_RENAME` if `text` is a snapshot and `name` another name
 * @throws {ConflictError} `ERR_SNAPSHOT_EXISTS` if `name` is a snapshot of another image; `ERR_SNAPSHOT_INIT` if `init` is
 * asked for a snapshot that was made without
 * @throws as `mountSnapshot`
 */
export async function mountImage(store: Store, text: string, request: MountRequest = {}): Promise<MountedSnapshot> {
  const known = knownSnapshot(store, text, request);
  if (known !== null) return mountSnapshot(store, known, request);
  const snapshot = await prepareImage(store, text, request);
  try {
    return await mountPrepared(store, snapshot, request);
  } catch (error) {
    await removeSnapshot(store, snapshot.name);
    throw error;
  }
}

/**
 * Makes a snapshot of an image, its layers unpacked, for a mount that may come later; `target` and `backend` are not used.
 * @throws {NotFoundError} `ERR_NAME_NOT_FOUND`, with `name` `ERR_IMAGE_NOT_FOUND`
 * @throws as `checkOverlayOptions`, `ensureUnpacked` and `prepare`
 */
export async function prepareImage(store: Store, text: string, request: MountRequest = {}): Promise<Snapshot> {
  const find = request.name === undefined ? findImageAmongOthers : findImage;
  const { row, reference } = find(store, text);
  const view = request.readOnly ?? false;
  const options = request.options ?? {};
  checkOverlayOptions(options, !view);
  const image = imageOfRow(store, row);
  await ensureUnpacked(store, image.layers, signalOf(request));
  return await prepare(store, {
    image,
    view,
    init: request.init ?? false,
    options: formatOverlayOptions(options),
    ...(request.name === undefined ? {} : { name: request.name }),
    ...(reference === null ? {} : { reference }),
  });
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
  if (snapshot.upperdir !== null && !request.isNew)
    refuseMountedElsewhere(store, snapshot, request.ignoreCopies ?? false);
  return await mountPrepared(store, snapshot, request);
}

async function mountPrepared(store: Store, snapshot: Snapshot, request: MountRequest): Promise<MountedSnapshot> {
  const image = imageOf(store, snapshot);
  await ensureUnpacked(store, image.layers, signalOf(request));
  await using _lock = await acquireLock(store.layout, mountLockName(snapshot.id), "exclusive", signalOf(request));
  if (getSnapshotById(store.db, snapshot.id) === null) throw goneMeanwhile(snapshot);
  removeDeadMounts(store, snapshot.id);
  const table = readMountTable();
  refuseMountedSnapshot(store, snapshot, table);
  const { options, notByKernel } = optionsFor(snapshot, request.options);
  const inAttributes = formOf(store).override === null ? null : OWNERS_IN_ATTRIBUTES;
  if (request.options?.volatile && snapshot.workdir !== null) removeVolatileMark(snapshot.workdir);
  const target = targetOf(store, snapshot, request.target, table);
  let backend: Backend | null = null;
  try {
    const spec = specOf(store, snapshot, image, target.path, options, request.readOnly ?? false);
    backend = await mountStack(
      { ...spec, ...(request.idMap !== undefined && { idMap: request.idMap }) },
      {
        backend: request.backend ?? "auto",
        source: snapshot.upperdir ?? viewBase(store, snapshot.id),
        notByKernel: inAttributes ?? notByKernel,
        logger: store.logger,
        endsWithCaller: request.endsWithCaller ?? false,
      },
    );
    record(store, snapshot, target, backend, options);
  } catch (error) {
    if (backend === "kernel") umount(target.path);
    if (backend === "fuse") unmountFuse(target.path);
    if (target.made) removeTarget(target.path);
    throw error;
  }
  return { snapshot, target: target.path, backend };
}

const OWNERS_IN_ATTRIBUTES = "its layers were unpacked without root and keep owners in attributes";

function signalOf({ signal }: MountRequest): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function imageOf(store: Store, snapshot: Snapshot): Image {
  const row = snapshot.image === null ? null : getImage(store.db, snapshot.image);
  if (row !== null) return imageOfRow(store, row);
  const message = `Cannot mount snapshot "${snapshot.name}": its image "${snapshot.image}" is not in the store`;
  throw new NotFoundError("ERR_IMAGE_NOT_FOUND", message, { data: { name: snapshot.name } });
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

/** Two mounts of one upperdir spoil each other's changes, and the kernel lets them be made. */
function refuseMountedElsewhere(store: Store, { id, name, merged }: Snapshot, ignoreCopies: boolean): void {
  const mount = foreignMounts(store).find((each) => each.snapshot === id && !(ignoreCopies && each.target === merged));
  if (mount === undefined) return;
  const message = `Cannot mount snapshot "${name}": it is mounted ${describeForeign(mount)}; unmount it there first`;
  const data = { name, target: display(mount.target), pid: mount.pid };
  throw new ConflictError("ERR_SNAPSHOT_MOUNTED", message, { data });
}

function goneMeanwhile({ name }: Snapshot): NotFoundError {
  const message = `Cannot mount snapshot "${name}": it was removed meanwhile`;
  return new NotFoundError("ERR_SNAPSHOT_NOT_FOUND", message, { data: { name } });
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
  const ownersInAttributes = formOf(store).override !== null;
  if (options.userxattr && !ownersInAttributes) refuseOpaqueDirectories(layers);
  if (upperdir === null || workdir === null) {
    const base = viewBase(store, snapshot.id); // overlayfs wants two layers where there is no upperdir
    mkdirSync(bytesOf(base), { recursive: true, mode: 0o755 });
    const lowerdirs = layers.length < MAX_LAYERS ? [...layers, base] : layers;
    return { lowerdirs, upperdir: null, workdir: null, target, readOnly: true, options, ownersInAttributes };
  }
  return { lowerdirs: layers, upperdir, workdir, target, readOnly, options, ownersInAttributes };
}

function record(
  store: Store,
  snapshot: Snapshot,
  target: MountTarget,
  backend: Backend,
  options: OverlayOptions,
): void {
  store.db.transaction("relaxed", () => {
    const other = getMountAt(store.db, target.path); // nothing is mounted there now, as seen from here
    if (other !== null) forgetLostMount(store, { ...other, targetMade: false });
    setSnapshotOptions(store.db, snapshot.id, formatOverlayOptions(optionsToKeep(snapshot, options)));
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

/**
 * Every snapshot, oldest first, with its mount. What was recorded is compared with the kernel's table first and put
 * right: a mount lost to a reboot or an umount(8) is forgotten and logged, one without a record is recorded. What is
 * mounted in another mount namespace only is logged too, and not mounted as seen from here.
 */
export function listMounts(store: Store): readonly SnapshotMount[] {
  const { lost } = repairMounts(store);
  const live = new Set(liveMounts(store).map((mount) => mount.snapshot));
  return listSnapshots(store).map((snapshot) => ({
    snapshot,
    mount: live.has(snapshot.id) ? getMount(store.db, snapshot.id) : null,
    lostFrom: lost.find((row) => row.snapshot === snapshot.id)?.target ?? null,
  }));
}
