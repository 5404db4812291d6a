/**
 * Who stands on the layers that podman is given: a container or an image in podman's own storage has one of them as the
 * layer below, and would be lost without it.
 */

import { readFileSync } from "node:fs";
import { isErrno } from "../../src/errors.ts";
import { listImageLayers, listImageRows } from "../../src/meta/images.ts";
import { bytesOf, display, type HostPath, hostPath, joinHost } from "../../src/paths.ts";
import { replaceFile } from "../../src/sys/replace-file.ts";
import type { Store } from "../store.ts";
import { isPublished } from "./follow.ts";
import { layerIds } from "./identity.ts";

/** Where podman keeps what is its own, for root (containers-storage.conf(5)). */
export const DEFAULT_GRAPHROOT = "/var/lib/containers/storage";

function graphrootsFile(store: Store): HostPath {
  return joinHost(store.layout.podman, "graphroots.json");
}

/** The storages that read the additional image store: those that were set up, and podman's own. */
function graphroots(store: Store): readonly string[] {
  try {
    const known = JSON.parse(readFileSync(bytesOf(graphrootsFile(store)), "utf8")) as readonly string[]; // our own file
    return [...new Set([DEFAULT_GRAPHROOT, ...known])];
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [DEFAULT_GRAPHROOT];
    throw error;
  }
}

/** Remembers a storage that reads the additional image store: what it stands on is not removed. */
export function rememberGraphroot(store: Store, graphroot: string): void {
  const known = graphroots(store);
  if (known.includes(graphroot)) return;
  replaceFile(graphrootsFile(store), JSON.stringify([...known, graphroot]));
}

/**
 * The storages that could do no more without the image with this manifest, as text; none if the store is not given to
 * podman, or other images keep the layers.
 */
export function storagesOn(store: Store, digest: string): readonly string[] {
  if (!isPublished(store)) return [];
  const kept = publishedIds(store, ({ image }) => image !== digest);
  const going = publishedIds(store, ({ image }) => image === digest);
  return storagesWith(store, going.difference(kept));
}

/** The storages that have anything on layers that podman is given, as text: on those with a chainID of `chains`, or on any. */
export function storagesOnLayers(store: Store, chains?: ReadonlySet<string>): readonly string[] {
  if (!isPublished(store)) return [];
  const ids = publishedIds(store, ({ chainId }) => chains?.has(chainId) ?? true);
  return storagesWith(store, ids);
}

/** What podman calls the layers of images that are wanted. */
function publishedIds(
  store: Store,
  isWanted: (layer: { readonly image: string; readonly chainId: string }) => boolean,
): Set<string> {
  const ids = listImageRows(store.db).flatMap(({ digest: image }) => {
    const layers = listImageLayers(store.db, image);
    const names = layerIds(layers.map(({ diffId }) => diffId));
    return names.filter((_, height) => isWanted({ image, chainId: layers[height]?.chainId ?? "" }));
  });
  return new Set(ids);
}

function storagesWith(store: Store, layers: ReadonlySet<string>): readonly string[] {
  return graphroots(store)
    .filter((graphroot) => standsOn(hostPath(graphroot), layers))
    .map((graphroot) => display(hostPath(graphroot)));
}

function standsOn(graphroot: HostPath, layers: ReadonlySet<string>): boolean {
  const own = ["layers.json", "volatile-layers.json"].flatMap((name) =>
    recordsIn(joinHost(graphroot, "overlay-layers", name)),
  );
  const images = recordsIn(joinHost(graphroot, "overlay-images", "images.json"));
  const ids = new Set(own.map(({ id }) => id));
  const needed = [...own.map(({ parent }) => parent), ...images.map(({ layer }) => layer)];
  return needed.some((id) => typeof id === "string" && layers.has(id) && !ids.has(id));
}

interface StorageRecord {
  readonly id?: unknown;
  readonly parent?: unknown;
  readonly layer?: unknown;
}

/** A file of podman's. One that cannot be understood stands for nothing that could be named. */
function recordsIn(path: HostPath): readonly StorageRecord[] {
  try {
    const parsed: unknown = JSON.parse(readFileSync(bytesOf(path), "utf8"));
    return Array.isArray(parsed) ? parsed.filter((item) => typeof item === "object" && item !== null) : [];
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR") || error instanceof SyntaxError) return [];
    throw error;
  }
}
