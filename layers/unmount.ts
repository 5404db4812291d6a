/**
 * Unmounting snapshots. What goes is the mount that the kernel has, wherever it is shown as a whole; never something that
 * was mounted over it, and never a part of it that somebody bound elsewhere.
 */

import { closeSync, openSync } from "node:fs";
import { ConflictError, isErrno } from "../src/errors.ts";
import { deleteMount, getMount } from "../src/meta/mounts.ts";
import { getSnapshotRow } from "../src/meta/snapshots.ts";
import { mountsBelow } from "../src/mount/mount-info.ts";
import { mountUsers } from "../src/mount/mount-users.ts";
import { hasVolatileMark, removeVolatileMark } from "../src/overlay/volatile-mark.ts";
import { bytesOf, display, type HostPath } from "../src/paths.ts";
import { AT_FDCWD } from "../src/sys/file.ts";
import { unmountFuse } from "../src/sys/fusermount.ts";
import { umount } from "../src/sys/mount.ts";
import { statAtOrNull } from "../src/sys/stat.ts";
import { syncFileSystem } from "../src/sys/sync.ts";
import {
  describeForeign,
  foreignMounts,
  forgetLostMount,
  type LiveMount,
  liveMounts,
  mountLockName,
  removeDeadMounts,
  removeTarget,
} from "./live-mounts.ts";
import { acquireLock } from "./locks.ts";
import { canonicalPath } from "./mount-target.ts";
import { getSnapshot, listSnapshots } from "./snapshots/snapshots.ts";
import type { Store } from "./store.ts";

/** What was unmounted. */
export interface Unmounted {
  /** null if the mount was of a snapshot that is gone. */
  readonly name: string | null;
  readonly targets: readonly HostPath[];
}

export interface UnmountOptions {
  readonly signal?: AbortSignal;
  /** The changes are to be removed next: a volatile mount is not written out for them. */
  readonly discard?: boolean;
}

/**
 * Unmounts a snapshot by its name or target and keeps its changes. A target that was made for the mount is removed.
 * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
 * @throws {ConflictError} `ERR_NOT_MOUNTED`; `ERR_MOUNT_IN_USE` with the processes and mounts that use it;
 *   `ERR_MOUNT_HIDDEN` if another mount lies over it
 */
export async function unmount(store: Store, nameOrTarget: string, options: UnmountOptions = {}): Promise<Unmounted> {
  const id = mountedSnapshotId(store, nameOrTarget);
  await using _lock = await acquireLock(store.layout, mountLockName(id), "exclusive", options);
  const row = getMount(store.db, id);
  const before = liveMounts(store).filter((mount) => mount.snapshot === id);
  removeDeadMounts(store, id);
  const live = liveMounts(store).filter((mount) => mount.snapshot === id);
  if (live.length === 0 && before.length === 0) {
    refuseElsewhere(store, id, nameOrTarget);
    if (row !== null) forgetLostMount(store, row);
    throw new ConflictError("ERR_NOT_MOUNTED", `Cannot unmount "${nameOrTarget}": it is not mounted`);
  }
  refuseBound(nameOrTarget, live);
  store.useReserve(); // whose disk is full unmounts so as to remove
  for (const mount of live.toReversed()) unmountOne(store, mount);
  if (row !== null) deleteMount(store.db, id);
  if (row?.targetMade) removeTarget(row.target);
  const snapshot = listSnapshots(store).find((each) => each.id === id) ?? null;
  const isWanted = options.discard !== true;
  if (isWanted && snapshot?.workdir != null && hasVolatileMark(snapshot.workdir))
    await settleVolatile(snapshot.workdir);
  return { name: snapshot?.name ?? null, targets: before.map((mount) => mount.target) };
}

function mountedSnapshotId(store: Store, nameOrTarget: string): number {
  const row = getSnapshotRow(store.db, nameOrTarget);
  if (row !== null) return row.id;
  if (nameOrTarget === "") return getSnapshot(store, nameOrTarget).id; // not the working directory: there is none
  const target = canonicalPath(nameOrTarget);
  const live = liveMounts(store).find((mount) => mount.target === target);
  return live?.snapshot ?? getSnapshot(store, nameOrTarget).id;
}

function refuseElsewhere(store: Store, id: number, nameOrTarget: string): void {
  const mount = foreignMounts(store).find((each) => each.snapshot === id);
  if (mount === undefined) return;
  const there = `nsenter --mount --target ${mount.pid}`;
  const message = `Cannot unmount "${nameOrTarget}": it is mounted ${describeForeign(mount)}; unmount it there (${there})`;
  const data = { target: display(mount.target), pid: mount.pid };
  throw new ConflictError("ERR_NOT_MOUNTED", message, { data });
}

/** Parts of the tree that somebody bound elsewhere are his: while they are there, the tree is in use. */
function refuseBound(nameOrTarget: string, live: readonly LiveMount[]): void {
  const bound = live.filter((mount) => mount.root !== "/");
  if (bound.length === 0) return;
  const parts = bound.map(({ root, target }) => `"${display(root)}" of it is mounted at "${display(target)}"`);
  const message = `Cannot unmount "${nameOrTarget}": ${parts.join(", ")}; unmount that first`;
  const data = { processes: [], mounts: bound.map((mount) => display(mount.target)) };
  throw new ConflictError("ERR_MOUNT_IN_USE", message, { data });
}

function unmountOne(store: Store, mount: LiveMount): void {
  const { target } = mount;
  if (statAtOrNull(AT_FDCWD, target)?.mountId !== mount.mountId) {
    if (!isThere(store, mount)) return; // it went with another that it was shared with
    const message = `Cannot unmount "${display(target)}": another mount lies over it; unmount that first`;
    throw new ConflictError("ERR_MOUNT_HIDDEN", message, { data: { target: display(target) } });
  }
  try {
    if (mount.backend === "fuse") unmountFuse(target);
    else umount(target);
  } catch (error) {
    if (!isErrno(error, "EBUSY")) throw error;
    throw inUse(target);
  }
}

function isThere(store: Store, mount: LiveMount): boolean {
  return liveMounts(store).some(({ mountId }) => mountId === mount.mountId);
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
