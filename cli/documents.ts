/** The parts that several JSON documents share. docs/commands.md describes their fields. */

import type { Change } from "../layers/diff/change.ts";
import type { Image, ImageLayer } from "../layers/image.ts";
import type { SnapshotMount } from "../layers/mounts.ts";
import type { Store } from "../layers/store.ts";
import { getLayer, type LayerRow } from "../src/meta/layers.ts";
import { pathFields } from "./output.ts";

/** What its layers take as blobs, each once. */
export function layerBytes(image: Image): number {
  const sizes = new Map(image.layers.map(({ descriptor }) => [descriptor.digest, descriptor.size]));
  return [...sizes.values()].reduce((total, size) => total + size, 0);
}

/** An image in a list. */
export function imageDocument(image: Image): object {
  return {
    digest: image.digest,
    configDigest: image.configDigest,
    references: image.references,
    platform: image.platform,
    created: image.config.created ?? null,
    addedAt: new Date(image.createdAtMs).toISOString(),
    layerCount: image.layers.length,
    layerBytes: layerBytes(image),
  };
}

/** A layer of an image, and what it is unpacked if it is. */
export function layerDocument(store: Store, layer: ImageLayer): object {
  const row = getLayer(store.db, layer.chainId);
  return {
    diffId: layer.diffId,
    chainId: layer.chainId,
    digest: layer.descriptor.digest,
    mediaType: layer.descriptor.mediaType,
    blobBytes: layer.descriptor.size,
    unpacked: row === null ? null : { bytes: row.sizeBytes, inodes: row.inodes },
  };
}

/** Who needs a layer. */
export interface LayerUsers {
  readonly images: number;
  /** Other engines. */
  readonly holders: readonly string[];
}

/** A layer of the store. */
export function storedLayerDocument(
  { diffId, chainId, parent, sizeBytes, inodes }: LayerRow,
  { images, holders }: LayerUsers,
): object {
  return { diffId, chainId, parent, unpacked: { bytes: sizeBytes, inodes }, images, holders };
}

/** A snapshot, and where it is mounted if it is. */
export function snapshotDocument({ snapshot, mount }: SnapshotMount): object {
  return {
    name: snapshot.name,
    kind: snapshot.kind,
    image: snapshot.image,
    reference: snapshot.reference,
    created: new Date(snapshot.createdAtMs).toISOString(),
    mounted: mount !== null,
    ...(mount === null ? { target: null } : pathFields("target", mount.target)),
    backend: mount?.backend ?? null,
    options: mount?.options ?? snapshot.options,
  };
}

/** One change of a diff. */
export function changeDocument({ kind, path, what, sizeBytes }: Change): object {
  return { kind, ...pathFields("path", `/${path}`), what, bytes: sizeBytes };
}

/** How many changes of each kind there are, and the bytes of regular files afterwards. */
export function countChanges(changes: readonly Change[]) {
  const countOf = (wanted: Change["kind"]) => {
    const some = changes.filter(({ kind }) => kind === wanted);
    return { count: some.length, bytes: some.reduce((total, { sizeBytes }) => total + sizeBytes, 0) };
  };
  return { added: countOf("A"), changed: countOf("C"), deleted: { count: countOf("D").count } };
}
