/** The parts that several JSON documents share. docs/commands.md describes their fields. */

import type { Image, ImageLayer } from "../layers/image.ts";
import type { SnapshotMount } from "../layers/mounts.ts";
import type { Store } from "../layers/store.ts";
import { getLayer } from "../src/meta/layers.ts";
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

/** A snapshot, and where it is mounted if it is. */
export function snapshotDocument({ snapshot, mount }: SnapshotMount): object {
  return {
    name: snapshot.name,
    kind: snapshot.kind,
    image: snapshot.image,
    reference: snapshot.reference,
    created: new Date(snapshot.createdAtMs).toISOString(),
    mounted: mount !== null,
    target: mount === null ? null : pathFields(mount.target),
    backend: mount?.backend ?? null,
    options: mount?.options ?? snapshot.options,
  };
}
