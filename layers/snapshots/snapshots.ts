/**
 * Snapshots, in containerd's vocabulary: an active one takes the changes to an image (`fs` is the upperdir, `work` the
 * workdir), a view is read-only. Each has a directory `snapshots/ID` and a row; what is mounted where is data in the row's
 * mount, and making mounts is for others.
 */

import { existsSync, mkdirSync, renameSync } from "node:fs";
import { ConflictError, isErrno, NotFoundError } from "../../src/errors.ts";
import { getImage } from "../../src/meta/images.ts";
import { deleteMount, getMountAt } from "../../src/meta/mounts.ts";
import {
  deleteSnapshot,
  getSnapshotById,
  getSnapshotRow,
  insertSnapshot,
  listSnapshotRows,
  type SnapshotRow,
  setSnapshotName,
} from "../../src/meta/snapshots.ts";
import { mountsBelow, readMountTable } from "../../src/mount/mount-info.ts";
import { MergedTree } from "../../src/overlay/merged-tree.ts";
import { bytesOf, display, type HostPath, joinHost } from "../../src/paths.ts";
import { removeTree } from "../../src/sys/remove-tree.ts";
import { syncDirectory } from "../../src/sys/sync.ts";
import { suggestion } from "../closest-names.ts";
import { createTemporary } from "../content/temporary.ts";
import { type Image, lowerdirsOf } from "../image.ts";
import { snapshotDirectory } from "../layout.ts";
import {
  describeForeign,
  type ForeignMount,
  foreignMounts,
  liveMounts,
  mountLockName,
  removeDeadMounts,
} from "../live-mounts.ts";
import { acquireLock } from "../locks.ts";
import { canonicalPath } from "../mount-target.ts";
import type { Store } from "../store.ts";
import { formOf } from "../store-form.ts";
import { discardTree } from "../sweep.ts";
import { makeInitLayer } from "./init-layer.ts";
import { checkSnapshotName, generateSnapshotName } from "./names.ts";
import { copyRootAttributes } from "./root-attributes.ts";

/** A snapshot and where its parts are. */
export interface Snapshot extends SnapshotRow {
  /** What the changes go to; null for a view. */
  readonly upperdir: HostPath | null;
  readonly workdir: HostPath | null;
  /** The stubs that a runtime wants to find, in a lowerdir of their own above the image's; null if it has none. */
  readonly initdir: HostPath | null;
  /** Where it is mounted unless the user wants it elsewhere. */
  readonly merged: HostPath;
}

export interface PrepareOptions {
  /** Every layer of it is unpacked. */
  readonly image: Image;
  /** Made up from the image's name if it is not given. */
  readonly name?: string;
  /** What the user called the image. */
  readonly reference?: string;
  /** true: read-only. */
  readonly view: boolean;
  /** Give it an init layer. */
  readonly init?: boolean;
  /** The overlay options to mount it with. */
  readonly options?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** It is thrown away when its user ends: after a power cut it may be missing, and its directory garbage. */
  readonly isTransient?: boolean;
  /** Runs in the transaction that records the snapshot, for what is recorded with it. */
  readonly alongside?: (id: number) => void;
}

/**
 * Makes a snapshot of an image: row and directory are durable when it returns.
 * @throws {UsageError} `ERR_SNAPSHOT_NAME`
 * @throws {ConflictError} `ERR_SNAPSHOT_EXISTS`; `ERR_LAYER_NOT_UNPACKED`
 * @throws {NotFoundError} `ERR_IMAGE_NOT_FOUND` if the image was removed meanwhile
 */
export async function prepare(store: Store, options: PrepareOptions): Promise<Snapshot> {
  const { image, view, reference = null } = options;
  if (options.name !== undefined) checkSnapshotName(options.name);
  const form = formOf(store);
  await using temporary = createTemporary(store.layout, "snapshot");
  mkdirSync(bytesOf(joinHost(temporary.path, "merged")), { mode: 0o755 });
  if (!view) {
    for (const name of ["fs", "work"]) mkdirSync(bytesOf(joinHost(temporary.path, name)), { mode: 0o755 });
    const [top] = lowerdirsOf(store, image);
    if (top !== undefined) copyRootAttributes(top, joinHost(temporary.path, "fs"), form);
  }
  if (options.init) {
    const init = joinHost(temporary.path, "init");
    mkdirSync(bytesOf(init), { mode: 0o755 });
    makeInitLayer(init, new MergedTree(lowerdirsOf(store, image), form), form);
  }
  const now = Date.now();
  return store.db.transaction(options.isTransient ? "relaxed" : "durable", () => {
    const name = options.name ?? unusedName(store, image, reference);
    if (getSnapshotRow(store.db, name) !== null) throw exists(name);
    if (getImage(store.db, image.digest) === null) throw imageGone(image);
    const row = insertSnapshot(store.db, {
      name,
      kind: view ? "view" : "active",
      parent: image.topChain,
      image: image.digest,
      reference,
      createdAtMs: now,
      updatedAtMs: now,
      labels: options.labels ?? {},
      options: options.options ?? "",
    });
    placeDirectory(store, temporary.path, row.id, options.isTransient ?? false);
    options.alongside?.(row.id);
    return snapshotOf(store, row);
  });
}

/** Every snapshot, oldest first. */
export function listSnapshots(store: Store): readonly Snapshot[] {
  return listSnapshotRows(store.db).map((row) => snapshotOf(store, row));
}

/**
 * The snapshot with this name, or mounted at this path.
 * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`, naming what is like it
 */
export function getSnapshot(store: Store, nameOrTarget: string): Snapshot {
  const row = getSnapshotRow(store.db, nameOrTarget) ?? rowMountedAt(store, nameOrTarget);
  if (row !== null) return snapshotOf(store, row);
  const names = listSnapshotRows(store.db).map((snapshot) => snapshot.name);
  const state = `there is no snapshot of this name, nor one mounted there${suggestion(nameOrTarget, names)}`;
  throw new NotFoundError("ERR_SNAPSHOT_NOT_FOUND", `Cannot find "${nameOrTarget}": ${state}`, {
    data: { name: nameOrTarget },
  });
}

/**
 * Gives a snapshot another name, mounted or not.
 * @throws {UsageError} `ERR_SNAPSHOT_NAME`
 * @throws {ConflictError} `ERR_SNAPSHOT_EXISTS`
 * @throws as `getSnapshot`
 */
export function renameSnapshot(store: Store, nameOrTarget: string, name: string): void {
  checkSnapshotName(name);
  store.db.transaction("durable", () => {
    const { id } = getSnapshot(store, nameOrTarget);
    if (getSnapshotRow(store.db, name) !== null) throw exists(name);
    setSnapshotName(store.db, id, name);
  });
}

export interface RemoveOptions {
  readonly signal?: AbortSignal;
  /**
   * A mount in another mount namespace at the store's own place for it does not count: nobody works there, it came with a copy
   * of the mount table.
   */
  readonly ignoreCopies?: boolean;
  /** It was made so: what a power cut brings back is removed again by the next command, and nobody else has mounted it. */
  readonly isTransient?: boolean;
}

/**
 * Removes a snapshot with its changes.
 * @throws {ConflictError} `ERR_SNAPSHOT_MOUNTED` if it is mounted now, whoever mounted it
 * @throws {NotFoundError} as `getSnapshot`
 */
export async function removeSnapshot(store: Store, nameOrTarget: string, options: RemoveOptions = {}): Promise<void> {
  const { id } = getSnapshot(store, nameOrTarget);
  await using _lock = await acquireLock(store.layout, mountLockName(id), "exclusive", options);
  store.useReserve();
  removeDeadMounts(store, id);
  store.db.transaction(options.isTransient ? "relaxed" : "durable", () => {
    const found = getSnapshot(store, nameOrTarget);
    refuseMounted(store, found, options);
    deleteMount(store.db, found.id);
    deleteSnapshot(store.db, found.id);
  });
  await discardTree(store, snapshotDirectory(store.layout, id));
}

/** In this mount namespace or in another one: its upperdir must not be taken from under a mount. */
function refuseMounted(store: Store, snapshot: Snapshot, { ignoreCopies, isTransient }: RemoveOptions): void {
  const { name, id, merged } = snapshot;
  const here = liveTarget(store, snapshot);
  const counts = ({ snapshot, target }: ForeignMount): boolean =>
    snapshot === id && !(ignoreCopies === true && target === merged);
  const foreign = here === null && !isTransient ? foreignMounts(store).find(counts) : undefined;
  const target = here ?? foreign?.target;
  if (target === undefined) return;
  const where = foreign === undefined ? `at "${display(target)}"` : describeForeign(foreign);
  const message = `Cannot remove snapshot "${name}": it is mounted ${where}; unmount it first`;
  const data = { name, target: display(target), ...(foreign !== undefined && { pid: foreign.pid }) };
  throw new ConflictError("ERR_SNAPSHOT_MOUNTED", message, { data });
}

/** The snapshot of a row. */
function snapshotOf(store: Store, row: SnapshotRow): Snapshot {
  const directory = snapshotDirectory(store.layout, row.id);
  const isActive = row.kind === "active";
  return {
    ...row,
    upperdir: isActive ? joinHost(directory, "fs") : null,
    workdir: isActive ? joinHost(directory, "work") : null,
    initdir: existsSync(bytesOf(joinHost(directory, "init"))) ? joinHost(directory, "init") : null,
    merged: joinHost(directory, "merged"),
  };
}

/** Where the kernel has it mounted, or null; anything in its directory counts. */
function liveTarget(store: Store, snapshot: Snapshot): HostPath | null {
  const table = readMountTable();
  const live = liveMounts(store, table).find((mount) => mount.snapshot === snapshot.id);
  return (live ?? mountsBelow(snapshotDirectory(store.layout, snapshot.id), table)[0])?.target ?? null;
}

function rowMountedAt(store: Store, text: string): SnapshotRow | null {
  const mount = text === "" ? null : getMountAt(store.db, canonicalPath(text));
  return mount === null ? null : getSnapshotById(store.db, mount.snapshot);
}

/** Renames the finished directory into place and makes that durable, as the row that is about to be must have it. */
function placeDirectory(store: Store, finished: HostPath, id: number, isTransient: boolean): void {
  const path = snapshotDirectory(store.layout, id);
  try {
    renameSync(bytesOf(finished), bytesOf(path));
  } catch (error) {
    if (!isErrno(error, "ENOTEMPTY", "EEXIST")) throw error;
    removeTree(path); // of a prepare that died before its row: no row has this id
    renameSync(bytesOf(finished), bytesOf(path));
  }
  if (!isTransient) syncDirectory(store.layout.snapshots);
}

function unusedName(store: Store, image: Image, reference: string | null): string {
  for (;;) {
    const name = generateSnapshotName(image, reference);
    if (getSnapshotRow(store.db, name) === null) return name;
  }
}

function exists(name: string): ConflictError {
  const message = `Cannot name a snapshot "${name}": there is one of this name already`;
  return new ConflictError("ERR_SNAPSHOT_EXISTS", message, { data: { name } });
}

function imageGone(image: Image): NotFoundError {
  const message = `Cannot make a snapshot of image "${image.digest}": it was removed meanwhile`;
  return new NotFoundError("ERR_IMAGE_NOT_FOUND", message, { data: { digest: image.digest } });
}
