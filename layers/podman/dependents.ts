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
  const images = publishedImages(store);
  const kept = images.filter(({ image }) => image !== digest).flatMap(({ ids }) => ids);
  const going = images.filter(({ image }) => image === digest).flatMap(({ ids }) => ids);
  return storagesWith(store, new Set(going).difference(new Set(kept)));
}

/** The storages that have anything on layers that podman is given, as text. */
export function storagesOnAny(store: Store): readonly string[] {
  if (!isPublished(store)) return [];
  return storagesWith(store, new Set(publishedImages(store).flatMap(({ ids }) => ids)));
}

/** As `storagesOnAny`, those that need the layer `chainId`: they have something on it, or on a layer above it. */
export function storagesOnLayer(store: Store, chainId: string): readonly string[] {
  if (!isPublished(store)) return [];
  const ids = publishedImages(store).flatMap(({ chainIds, ids }) => {
    const height = chainIds.indexOf(chainId);
    return height === -1 ? [] : ids.slice(height);
  });
  return storagesWith(store, new Set(ids));
}

/** Every image, with its layers and what podman calls them, base first. */
function publishedImages(store: Store) {
  return listImageRows(store.db).map(({ digest: image }) => {
    const layers = listImageLayers(store.db, image);
    const chainIds = layers.map(({ chainId }): string => chainId);
    return { image, chainIds, ids: layerIds(layers.map(({ diffId }) => diffId)) };
  });
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
