/**
 * Deletes layers and blobs that nothing reaches: rows first, in one durable transaction, then files. A layer's directory
 * is moved into a temporary before it is emptied, so that it is never half there under its own name.
 */

import { promises, renameSync } from "node:fs"; // node:fs/promises takes 3 ms to be loaded, and what ends a container needs little of it
import type { ChainId, Digest } from "../src/digest.ts";
import { isErrno } from "../src/errors.ts";
import { type BlobRow, deleteBlob } from "../src/meta/blobs.ts";
import { deleteLayer, isDirectoryUsed, type LayerRow } from "../src/meta/layers.ts";
import { listUnreachableBlobs, listUnreachableLayers } from "../src/meta/reachability.ts";
import { bytesOf, type HostPath, joinHost } from "../src/paths.ts";
import { createTemporary } from "./content/temporary.ts";
import { blobPath, layerDirectory } from "./layout.ts";
import type { Store } from "./store.ts";

/** What goes, or went. */
export interface Unreachable {
  readonly layers: readonly LayerRow[];
  readonly blobs: readonly BlobRow[];
}

/** Limits a sweep to these. */
export interface SweepScope {
  readonly chains: ReadonlySet<ChainId>;
  readonly blobs: ReadonlySet<Digest>;
}

/** The layers and blobs that nothing reaches now, within `scope` if there is one. */
export function findUnreachable(store: Store, scope?: SweepScope): Unreachable {
  return {
    layers: listUnreachableLayers(store.db).filter((layer) => scope?.chains.has(layer.chainId) ?? true),
    blobs: listUnreachableBlobs(store.db).filter((blob) => scope?.blobs.has(blob.digest) ?? true),
  };
}

/** Deletes them. The caller holds the lock "gc" exclusively: nobody else adds or removes. */
export async function sweep(store: Store, scope?: SweepScope): Promise<Unreachable> {
  const found = store.db.transaction("durable", () => {
    const unreachable = findUnreachable(store, scope);
    for (const layer of unreachable.layers) deleteLayer(store.db, layer.chainId);
    for (const blob of unreachable.blobs) deleteBlob(store.db, blob.digest);
    return unreachable;
  });
  const directories = new Set(found.layers.map((layer) => layer.directory));
  for (const name of directories) {
    if (!isDirectoryUsed(store.db, name)) await discardTree(store, layerDirectory(store.layout, name));
  }
  for (const blob of found.blobs) await removeFile(blobPath(store.layout, blob.digest));
  return found;
}

/** Takes a directory of the store away under its name at once, then removes what is in it. Nothing there is fine. */
export async function discardTree(store: Store, path: HostPath): Promise<void> {
  await using trash = createTemporary(store.layout, "trash");
  moveIfThere(path, joinHost(trash.path, "tree")); // goes with the trash
}

/** False if nothing is there. @throws a system error */
export function moveIfThere(from: HostPath, to: HostPath): boolean {
  try {
    renameSync(bytesOf(from), bytesOf(to));
    return true;
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    return false;
  }
}

/** Removes a file; nothing there is fine. */
export async function removeFile(path: HostPath): Promise<void> {
  try {
    await promises.unlink(bytesOf(path));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
