/**
 * What the kernel says about this store's mounts. A row of the table `mounts` is a memory: after a reboot or an
 * umount(8) it is wrong, and a crash between mounting and recording leaves a mount without a row. Here the two are
 * brought together again, towards the kernel.
 *
 * Invariant: a snapshot is repaired under its lock "mount-ID" only, which whoever mounts or unmounts it holds.
 */

import { rmdirSync, statSync } from "node:fs";
import { isErrno } from "../src/errors.ts";
import { deleteMount, getMount, insertMount, listMountRows, type MountRow } from "../src/meta/mounts.ts";
import { getSnapshotById } from "../src/meta/snapshots.ts";
import type { Backend } from "../src/mount/backend.ts";
import { isDead } from "../src/mount/fuse-mounts.ts";
import { MOUNT_SOURCE } from "../src/mount/kernel-overlay.ts";
import { type MountInfo, mountsOfType, overlayDirectories, readMountTable } from "../src/mount/mount-info.ts";
import { otherMountTables } from "../src/mount/mount-namespaces.ts";
import { bytesOf, display, type HostPath, joinHost } from "../src/paths.ts";
import { FUSE_TYPE } from "../src/sys/fuse-device.ts";
import { unmountFuse } from "../src/sys/fusermount.ts";
import { MNT_DETACH } from "../src/sys/mount.ts";
import { snapshotDirectory } from "./layout.ts";
import { tryAcquireLock } from "./locks.ts";
import type { Store } from "./store.ts";

/** A mount of a snapshot that is there now. */
export interface LiveMount {
  /** Id of the snapshot; its row may be gone. */
  readonly snapshot: number;
  readonly target: HostPath;
  /** Of the mount, in the kernel's table. */
  readonly mountId: number;
  /** What of the merged tree is shown: "/", or a directory of it that somebody bound elsewhere. */
  readonly root: HostPath;
  readonly backend: Backend;
}

/** A mount of a snapshot in another mount namespace. */
export interface ForeignMount extends LiveMount {
  /** A process in that namespace. */
  readonly pid: number;
}

/** The name of the lock that is held while a snapshot is mounted, unmounted or repaired. */
export function mountLockName(snapshot: number): string {
  return `mount-${snapshot}`;
}

/** The lowerdir at the bottom of a view: always empty, and by it a view's mount is known for whose it is. */
export function viewBase(store: Store, snapshot: number): HostPath {
  return joinHost(snapshotDirectory(store.layout, snapshot), "empty");
}

/** The mounts of this store's snapshots in this mount namespace, in the order they were made. */
export function liveMounts(store: Store, table: string = readMountTable()): readonly LiveMount[] {
  const recorded = new Map(listMountRows(store.db).map((row) => [row.target, row.snapshot]));
  return mountsOfType(["overlay", FUSE_TYPE], table).flatMap((mount) => {
    const isFuse = mount.type === FUSE_TYPE;
    const snapshot = isFuse ? fuseSnapshotId(store, mount) : overlaySnapshotId(store, mount, recorded);
    const { target, id, root } = mount;
    return snapshot === undefined ? [] : [{ snapshot, target, mountId: id, root, backend: isFuse ? "fuse" : "kernel" }];
  });
}

/** A FUSE mount is known by its source, which who mounts it chooses: only those of root and of the store's owner count. */
function fuseSnapshotId(store: Store, { source, superOptions }: MountInfo): number | undefined {
  const id = snapshotIdOf(store, source);
  if (id === undefined) return undefined;
  const uid = Number(superOptions.find(([name]) => name === "user_id")?.[1]);
  return uid === 0 || uid === statSync(bytesOf(store.layout.root)).uid ? id : undefined;
}

function overlaySnapshotId(
  store: Store,
  mount: MountInfo,
  recorded: ReadonlyMap<HostPath, number>,
): number | undefined {
  const directories = overlayDirectories(mount);
  const own = directories?.upperdir ?? directories?.lowerdirs.at(-1) ?? "";
  // Views of as many layers as overlayfs takes, those that mount(2) shows by number, and those with mapped ids, whose
  // layers are of mounts that are nowhere, are known by their target.
  const isNameless =
    own.startsWith(`${store.layout.layers}/`) || /^(?:(?:\/proc\/self\/fd\/)?\d+|\/(?:fs|empty)?)$/.test(own);
  if (!isNameless) return snapshotIdOf(store, own);
  if (mount.source !== MOUNT_SOURCE) return undefined;
  return recorded.get(mount.target) ?? idIn(store, mount.target, "merged");
}

/** Of an upperdir, or the base of a view. */
function snapshotIdOf(store: Store, own: string): number | undefined {
  return idIn(store, own, "fs") ?? idIn(store, own, "empty");
}

/** Of the snapshot that has this directory by this name. */
function idIn(store: Store, path: string, name: "fs" | "empty" | "merged"): number | undefined {
  const prefix = `${store.layout.snapshots}/`;
  if (!path.startsWith(prefix)) return undefined;
  const [id = "", own, ...rest] = path.slice(prefix.length).split("/");
  return own === name && rest.length === 0 && /^\d+$/.test(id) ? Number(id) : undefined;
}

/** The mounts of this store's snapshots in other mount namespaces. Looks at every process. */
export function foreignMounts(store: Store): readonly ForeignMount[] {
  return otherMountTables().flatMap(({ pid, table }) => liveMounts(store, table).map((mount) => ({ ...mount, pid })));
}

/** "at "/mnt" in the mount namespace of process 12": where somebody else has it mounted. */
export function describeForeign({ target, pid }: ForeignMount): string {
  return `at "${display(target)}" in the mount namespace of process ${pid}`;
}

/** What was repaired. */
export interface MountRepairs {
  /** Recorded, but no longer there: the rows are gone now. */
  readonly lost: readonly MountRow[];
  /** There, but not recorded: now they are. */
  readonly adopted: readonly LiveMount[];
  /** There, of a snapshot that is not: only reported. `unmount` takes them by their target. */
  readonly strays: readonly LiveMount[];
  /** Recorded, and there in another mount namespace only: left as it is. */
  readonly elsewhere: readonly ForeignMount[];
}

/**
 * Brings rows and kernel together and logs what was wrong. A snapshot that somebody is mounting now is left alone, and so
 * is a store that cannot be written.
 */
export function repairMounts(store: Store): MountRepairs {
  if (store.db.isReadOnly) return { lost: [], adopted: [], strays: [], elsewhere: [] };
  const dead = liveMounts(store).filter(
    ({ backend, target, mountId }) => backend === "fuse" && isDead(target, mountId),
  );
  for (const { snapshot } of dead) buryUnderLock(store, snapshot);
  const live = liveMounts(store);
  const away = listMountRows(store.db).filter((row) => !live.some((mount) => isOf(mount, row)));
  const foreign = away.length === 0 ? [] : foreignMounts(store);
  const elsewhere = foreign.filter((mount) => away.some((row) => row.snapshot === mount.snapshot));
  const lost = away.filter((row) => !elsewhere.some((mount) => mount.snapshot === row.snapshot) && forget(store, row));
  const whole = live.filter((mount) => mount.root === "/"); // not what somebody bound elsewhere
  const unrecorded = whole.filter((mount) => getMount(store.db, mount.snapshot) === null);
  const strays = unrecorded.filter((mount) => getSnapshotById(store.db, mount.snapshot) === null);
  const adopted = unrecorded.filter((mount) => !strays.includes(mount) && adopt(store, mount));
  for (const { snapshot, target } of strays) store.logger.warn("mount.stray", { snapshot, target: display(target) });
  for (const { snapshot, target, pid } of elsewhere) {
    store.logger.warn("mount.elsewhere", { snapshot, target: display(target), pid });
  }
  return { lost, adopted, strays, elsewhere };
}

function buryUnderLock(store: Store, snapshot: number): void {
  using lock = tryAcquireLock(store.layout, mountLockName(snapshot), "exclusive");
  if (lock !== null) removeDeadMounts(store, snapshot);
}

/**
 * Takes away the FUSE mounts of a snapshot whose server died, which nobody can use any more; what was changed before is in
 * the upperdir. The caller holds the snapshot's mount lock.
 */
export function removeDeadMounts(store: Store, snapshot: number): void {
  for (const mount of liveMounts(store)) {
    const { backend, target, mountId } = mount;
    if (mount.snapshot !== snapshot || backend !== "fuse" || !isDead(target, mountId)) continue;
    store.logger.warn("mount.dead", { snapshot, target: display(target) });
    unmountFuse(target, MNT_DETACH); // also from those who still have something of it open
  }
}

function isOf(mount: LiveMount, row: MountRow): boolean {
  return mount.snapshot === row.snapshot && mount.target === row.target;
}

function forget(store: Store, row: MountRow): boolean {
  using lock = tryAcquireLock(store.layout, mountLockName(row.snapshot), "exclusive");
  if (lock === null || liveMounts(store).some((mount) => isOf(mount, row))) return false;
  forgetLostMount(store, row);
  return true;
}

/** Removes the row of a mount that is gone. The caller holds the snapshot's mount lock. */
export function forgetLostMount(store: Store, row: MountRow): void {
  store.logger.warn("mount.lost", { snapshot: row.snapshot, target: display(row.target) });
  deleteMount(store.db, row.snapshot);
  if (row.targetMade) removeTarget(row.target);
}

function adopt(store: Store, mount: LiveMount): boolean {
  using lock = tryAcquireLock(store.layout, mountLockName(mount.snapshot), "exclusive");
  if (lock === null || getMount(store.db, mount.snapshot) !== null) return false;
  const snapshot = getSnapshotById(store.db, mount.snapshot);
  if (snapshot === null || !liveMounts(store).some((live) => live.target === mount.target)) return false;
  store.logger.warn("mount.adopted", { snapshot: snapshot.name, target: display(mount.target) });
  insertMount(store.db, {
    snapshot: mount.snapshot,
    target: mount.target,
    backend: mount.backend,
    options: snapshot.options,
    targetMade: false,
    createdAtMs: Date.now(),
  });
  return true;
}

/** Removes a target that was made for a mount, unless somebody has put something there since. */
export function removeTarget(target: HostPath): void {
  try {
    rmdirSync(bytesOf(target));
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTEMPTY", "EBUSY", "ENOTDIR")) throw error;
  }
}
