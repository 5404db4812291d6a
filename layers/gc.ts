/**
 * Garbage collection: removes what nothing reaches, and nothing else. It waits until nobody adds to the store, and who
 * wants to add waits until it is done; mounting and reading what is there go on.
 */

import { renameSync } from "node:fs";
import { bytesOf, type HostPath, joinHost } from "../src/paths.ts";
import { createTemporary, removeLargeTree } from "./content/temporary.ts";
import { findGarbage, findOrphans, type Garbage, isSnapshot, type Orphan } from "./garbage.ts";
import { liveMounts } from "./live-mounts.ts";
import { acquireLock, lockExisting, removeStaleLocks } from "./locks.ts";
import type { Store } from "./store.ts";
import { discardTree, sweep } from "./sweep.ts";

export interface GcOptions {
  /** Only tell what would go. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
  /** Called once if somebody adds to the store, so that it has to wait. */
  readonly onWait?: () => void;
}

export interface GcResult {
  /** What went, or would go: layers, blobs, then files without a row. */
  readonly removed: readonly Garbage[];
  readonly freedBytes: number;
}

/** Of a store that is not there. */
export const NOTHING_FREED: GcResult = { removed: [], freedBytes: 0 };

/**
 * Removes all garbage. Stopped half-way by `signal`, it leaves a store in order.
 * @throws what `signal` was aborted with
 */
export async function collectGarbage(store: Store, options: GcOptions = {}): Promise<GcResult> {
  const { signal, onWait } = options;
  await using _lock = await acquireLock(store.layout, "gc", "exclusive", {
    ...(signal === undefined ? {} : { signal }),
    ...(onWait === undefined ? {} : { onWait }),
  });
  if (options.dryRun !== true) store.useReserve();
  const found = findGarbage(store);
  const removed = found.filter((garbage) => !isMounted(store, garbage));
  if (options.dryRun !== true) {
    await sweep(store);
    for (const orphan of findOrphans(store)) {
      signal?.throwIfAborted();
      if (!isMounted(store, orphan)) await removeOrphan(store, orphan);
    }
    removeStaleLocks(store.layout);
  }
  return { removed, freedBytes: removed.reduce((sum, garbage) => sum + garbage.sizeBytes, 0) };
}

/** A directory that lost its row and is mounted all the same: somebody works there. */
function isMounted(store: Store, garbage: Garbage): boolean {
  if (garbage.kind !== "snapshot-directory") return false;
  return liveMounts(store).some((mount) => String(mount.snapshot) === garbage.name);
}

async function removeOrphan(store: Store, orphan: Orphan): Promise<void> {
  switch (orphan.kind) {
    case "temporary": {
      using lock = lockExisting(orphan.path); // null: somebody made it just now
      if (lock !== null) await removeLargeTree(orphan.path);
      return;
    }
    case "snapshot-directory":
      return await removeSnapshotDirectory(store, orphan.path);
    default:
      return await discardTree(store, orphan.path);
  }
}

/** Making a snapshot takes no lock but the database's: under that one its directory has a row, or will never have. */
async function removeSnapshotDirectory(store: Store, path: HostPath): Promise<void> {
  await using trash = createTemporary(store.layout, "trash");
  store.db.transaction("relaxed", () => {
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (!isSnapshot(store, name)) renameSync(bytesOf(path), bytesOf(joinHost(trash.path, "tree")));
  });
}
