/** The mount of a container that runs, which is its own as long as it does. */

import { ConflictError } from "../../src/errors.ts";
import { getContainer } from "../../src/meta/containers.ts";
import { getSnapshotRow, listSnapshotRows } from "../../src/meta/snapshots.ts";
import { display } from "../../src/paths.ts";
import { liveMounts } from "../live-mounts.ts";
import { canonicalPath } from "../mount-target.ts";
import type { MountedSnapshot } from "../mounts.ts";
import { getSnapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { isHeld, isRunning } from "./held.ts";

/** True for the name of a container. */
export function isContainer(store: Store, name: string): boolean {
  const row = getSnapshotRow(store.db, name);
  return row !== null && getContainer(store.db, row.id) !== null;
}

/** Where a container of this name is mounted because it runs; null for everything else, also what is no container's name. */
export function runningMount(store: Store, name: string): MountedSnapshot | null {
  const row = getSnapshotRow(store.db, name);
  if (row === null || !isContainer(store, name) || !isHeld(store, row.id)) return null;
  const live = liveMounts(store).find((mount) => mount.snapshot === row.id && mount.root === "/");
  return live === undefined ? null : { snapshot: getSnapshot(store, name), target: live.target, backend: live.backend };
}

/** For who wants the tree of a container that runs somewhere else, or mounted in another way. */
export function mountsAlready({ snapshot, target }: MountedSnapshot): ConflictError {
  const [name, shown] = [snapshot.name, display(target)];
  const message = `Cannot mount container "${name}" in another way: it is running, and mounted at "${shown}"; use it there`;
  return new ConflictError("ERR_CONTAINER_RUNNING", message, { data: { name, target: shown } });
}

/**
 * Refuses to unmount a container that runs, by its name or by where it is mounted.
 * @throws {ConflictError} `ERR_CONTAINER_RUNNING`
 */
export function refuseRunning(store: Store, nameOrTarget: string): void {
  const target = nameOrTarget === "" ? undefined : canonicalPath(nameOrTarget);
  for (const { name } of listSnapshotRows(store.db)) {
    const mounted = runningMount(store, name);
    if (mounted !== null && (name === nameOrTarget || mounted.target === target)) throw isRunning(name, "unmount");
  }
}
