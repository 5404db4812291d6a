/**
 * Garbage collection: removes what nothing reaches, and nothing else. It waits until nobody adds to the store, and who
 * wants to add waits until it is done; mounting and reading what is there go on.
 */

import { type HostPath, joinHost } from "../src/paths.ts";
import { createTemporary, removeLargeTree } from "./content/temporary.ts";
import {
  findGarbage,
  findOrphans,
  findUnneeded,
  type Garbage,
  isHeldDirectory,
  isSnapshot,
  type Orphan,
} from "./garbage.ts";
import { acquireLock, lockExisting, removeStaleLocks } from "./locks.ts";
import type { Store } from "./store.ts";
import { discardTree, moveIfThere, sweep } from "./sweep.ts";

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
  /** Data in files: `du` calls as much reclaimable. */
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
  const isLook = options.dryRun === true;
  const mode = isLook && store.db.isReadOnly ? "shared" : "exclusive"; // shared: where nobody can add, a look takes none
  await using _lock = await acquireLock(store.layout, "gc", mode, {
    ...(signal === undefined ? {} : { signal }),
    ...(onWait === undefined ? {} : { onWait }),
  });
  if (isLook) return resultOf(findGarbage(store));
  store.useReserve();
  const removed: Garbage[] = [...findUnneeded(store)];
  await sweep(store);
  for (const orphan of findOrphans(store)) {
    signal?.throwIfAborted();
    if (await removeOrphan(store, orphan)) removed.push(orphan);
  }
  removeStaleLocks(store.layout);
  return resultOf(removed);
}

function resultOf(garbage: readonly Garbage[]): GcResult {
  const removed = garbage.map(({ kind, name, sizeBytes }) => ({ kind, name, sizeBytes }));
  return { removed, freedBytes: removed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}

/** False if it turns out to be in use. */
async function removeOrphan(store: Store, orphan: Orphan): Promise<boolean> {
  switch (orphan.kind) {
    case "temporary": {
      using lock = lockExisting(orphan.path); // null: somebody made it just now
      if (lock !== null) await removeLargeTree(orphan.path);
      return lock !== null;
    }
    case "snapshot-directory":
      return await removeSnapshotDirectory(store, orphan.path, isSnapshot);
    case "held-directory":
      return await removeSnapshotDirectory(store, orphan.path, isHeldDirectory);
    default:
      await discardTree(store, orphan.path);
      return true;
  }
}

/** Making a snapshot takes no lock but the database's: under that one its directory has a row, or will never have. */
async function removeSnapshotDirectory(
  store: Store,
  path: HostPath,
  isKept: (store: Store, name: string) => boolean,
): Promise<boolean> {
  await using trash = createTemporary(store.layout, "trash");
  return store.db.transaction("relaxed", () => {
    if (isKept(store, path.slice(path.lastIndexOf("/") + 1))) return false;
    return moveIfThere(path, joinHost(trash.path, "tree")); // not if who removed its row has been here
  });
}
