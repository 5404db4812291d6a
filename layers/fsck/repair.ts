/**
 * Repairs: what is damaged loses its row, durably, before its files go. An unpacked layer is made again from its
 * blob when an image needs it next; a blob comes back when its image is imported again.
 */

import type { Digest } from "../../src/digest.ts";
import { ConflictError } from "../../src/errors.ts";
import { deleteBlob } from "../../src/meta/blobs.ts";
import { isHeldMounted, listHeldLayers, listHoldersOf } from "../../src/meta/held-snapshots.ts";
import { listImageDirectories } from "../../src/meta/images.ts";
import { deleteLayer, type LayerRow, listLayers } from "../../src/meta/layers.ts";
import { getSnapshotById } from "../../src/meta/snapshots.ts";
import { mountsOfType, overlayDirectories, readMountTable } from "../../src/mount/mount-info.ts";
import { otherMountTables } from "../../src/mount/mount-namespaces.ts";
import { display, type HostPath } from "../../src/paths.ts";
import { blobPath, layerDirectory, layerTree } from "../layout.ts";
import { liveMounts } from "../live-mounts.ts";
import { storagesOnLayer } from "../podman/dependents.ts";
import type { Store } from "../store.ts";
import { discardTree, removeFile } from "../sweep.ts";

/**
 * Nothing of these layers is mounted when this returns, nor may be by another engine that has them.
 * @throws {ConflictError} `ERR_LAYER_MOUNTED`, naming the target or the engine
 */
export function refuseMounted(store: Store, layers: readonly LayerRow[]): void {
  refuseUsedElsewhere(store, layers);
  const mounted = mountedDirectories(store);
  for (const layer of layers) {
    const target = mounted.get(layer.directory);
    if (target === undefined) continue;
    const path = display(target);
    const state = `it is mounted at "${path}"; unmount it first`;
    throw new ConflictError("ERR_LAYER_MOUNTED", `Cannot repair layer "${layer.chainId}": ${state}`, {
      data: { chainId: layer.chainId, target: path },
    });
  }
}

/** Other engines mount layers under names of their own: what they have on a layer counts as mounted. */
function refuseUsedElsewhere(store: Store, layers: readonly LayerRow[]): void {
  const directories = new Set(layers.map(({ directory }) => directory));
  for (const { chainId, directory } of listLayers(store.db)) {
    if (!directories.has(directory)) continue;
    const holders = listHoldersOf(store.db, chainId).filter((holder) =>
      listHeldLayers(store.db, holder, chainId).some(({ id }) => isHeldMounted(store.db, id)),
    );
    const users = [...holders, ...storagesOnLayer(store, chainId).map((path) => `podman, in "${path}"`)];
    if (users.length === 0) continue;
    const state = `${users.join(" and ")} has containers or images on it; remove those first`;
    throw new ConflictError("ERR_LAYER_MOUNTED", `Cannot repair layer "${chainId}": ${state}`, {
      data: { chainId, users },
    });
  }
}

/**
 * The layer directories that live mounts use, each with a target: as the kernel names them, and those of the images
 * of mounted snapshots, because mount(2) may show layers by number only; in every mount namespace.
 */
function mountedDirectories(store: Store): ReadonlyMap<string, HostPath> {
  const names = new Map(listLayers(store.db).map(({ directory }) => [layerTree(store.layout, directory), directory]));
  const mounted = new Map<string, HostPath>();
  for (const table of [readMountTable(), ...otherMountTables().map((other) => other.table)]) {
    for (const mount of mountsOfType("overlay", table)) {
      for (const lowerdir of overlayDirectories(mount)?.lowerdirs ?? []) {
        const name = names.get(lowerdir as HostPath);
        if (name !== undefined) mounted.set(name, mount.target);
      }
    }
    for (const { snapshot, target } of liveMounts(store, table)) {
      const image = getSnapshotById(store.db, snapshot)?.image ?? null;
      if (image === null) continue;
      for (const name of listImageDirectories(store.db, image)) if (name !== null) mounted.set(name, target);
    }
  }
  return mounted;
}

/** Takes unpacked layers away, rows first, with the rows of layers that share their directories. */
export async function dropLayers(store: Store, layers: readonly LayerRow[]): Promise<void> {
  const directories = new Set(layers.map((layer) => layer.directory));
  store.useReserve();
  store.db.transaction("durable", () => {
    for (const { chainId, directory } of listLayers(store.db)) {
      if (directories.has(directory)) deleteLayer(store.db, chainId);
    }
  });
  for (const name of directories) await discardTree(store, layerDirectory(store.layout, name));
}

/** Takes a damaged blob away, row first. */
export async function dropBlob(store: Store, digest: Digest): Promise<void> {
  store.useReserve();
  store.db.transaction("durable", () => deleteBlob(store.db, digest));
  await removeFile(blobPath(store.layout, digest));
}
