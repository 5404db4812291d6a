/** Whether a mount goes on with a snapshot that is there. */

import { ConflictError, NotFoundError, UsageError } from "../src/errors.ts";
import { getSnapshotRow } from "../src/meta/snapshots.ts";
import { familiar, findImage } from "./resolve-image.ts";
import { getSnapshot, type Snapshot } from "./snapshots/snapshots.ts";
import type { Store } from "./store.ts";

interface Wanted {
  readonly name?: string;
  readonly init?: boolean;
}

/**
 * The snapshot to be mounted again, for `text` as a person named it; null if a new one is wanted.
 * @throws {UsageError} `ERR_SNAPSHOT_RENAME` if `text` is a snapshot and `name` another name
 * @throws {ConflictError} `ERR_SNAPSHOT_EXISTS` if `name` is a snapshot of another image; `ERR_SNAPSHOT_INIT` if `init` is
 * asked for a snapshot that was made without
 */
export function knownSnapshot(store: Store, text: string, request: Wanted): Snapshot | null {
  const { name } = request;
  refuseRenaming(store, text, name);
  const row = getSnapshotRow(store.db, name ?? text);
  if (row === null) return null;
  if (name !== undefined && name !== text && findImage(store, text).row.digest !== row.image) {
    const message =
      `Cannot mount image "${text}" as "${name}": a snapshot of this name was made from image "${row.reference ?? row.image}"; ` +
      `mount "${name}" to continue it, or choose another name`;
    throw new ConflictError("ERR_SNAPSHOT_EXISTS", message, { data: { name } });
  }
  const snapshot = getSnapshot(store, row.name);
  if (request.init === true && snapshot.initdir === null) throw madeWithoutInit(snapshot);
  return snapshot;
}

function madeWithoutInit({ name }: Snapshot): ConflictError {
  const state = "it was made without the files of --init; mount its image as another snapshot to have them";
  return new ConflictError("ERR_SNAPSHOT_INIT", `Cannot mount snapshot "${name}": ${state}`, { data: { name } });
}

/** `name` is for a new snapshot of an image: one that is there keeps its own. */
function refuseRenaming(store: Store, text: string, name: string | undefined): void {
  if (name === undefined || name === text) return;
  const row = getSnapshotRow(store.db, text);
  if (row === null || isImage(store, text)) return;
  const image = row.reference === null ? row.image : familiar(row.reference);
  const another = image === null ? "" : `, or mount "${image}" as "${name}" for another snapshot`;
  const message = `Cannot mount snapshot "${text}" as "${name}": it keeps its name; mount it without --name${another}`;
  throw new UsageError("ERR_SNAPSHOT_RENAME", message, { data: { name: text, wanted: name } });
}

function isImage(store: Store, text: string): boolean {
  try {
    findImage(store, text);
    return true;
  } catch (error) {
    if (error instanceof NotFoundError || error instanceof UsageError) return false;
    throw error;
  }
}
