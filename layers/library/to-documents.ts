/** Turns what the store works with into the data that the library gives. */

import { bytesOf, textOfBytes } from "../../src/paths.ts";
import type { Change as TreeChange, SkippedEntry as TreeEntry } from "../diff/change.ts";
import type { DiskUsage } from "../disk-usage.ts";
import type { Image } from "../image.ts";
import type { SnapshotMount } from "../mounts.ts";
import type { Snapshot } from "../snapshots/snapshots.ts";
import type { Change, ImageInfo, SkippedEntry, SnapshotInfo, StoreUsage } from "./documents.ts";

/** A path or name as text. */
export function pathText(path: string): string {
  return textOfBytes(bytesOf(path));
}

/** A path in a tree as text, from the tree's root. */
function treePathText(path: string): string {
  return `/${pathText(path)}`;
}

export function imageInfo(image: Image): ImageInfo {
  return {
    digest: image.digest,
    configDigest: image.configDigest,
    references: image.references,
    platform: image.platform,
    layers: image.layers.map(({ descriptor: { digest, mediaType, size }, diffId, chainId }) => ({
      diffId,
      chainId,
      digest,
      mediaType,
      size,
    })),
    addedAt: new Date(image.createdAtMs),
  };
}

export function snapshotInfo(snapshot: Snapshot, mount: SnapshotMount["mount"]): SnapshotInfo {
  const { name, kind, image, createdAtMs, upperdir } = snapshot;
  return {
    name,
    kind,
    image,
    createdAt: new Date(createdAtMs),
    upperdir: upperdir === null ? null : pathText(upperdir),
    target: mount === null ? null : pathText(mount.target),
    backend: mount === null ? null : mount.backend === "fuse" ? "fuse" : "kernel",
  };
}

export function changeOf({ kind, path, what, sizeBytes }: TreeChange): Change {
  return { kind, path: treePathText(path), what, size: sizeBytes };
}

export function skippedOf({ path, reason }: TreeEntry): SkippedEntry {
  return { path: treePathText(path), reason };
}

export function usageOf({ layers, blobs, snapshots, held, leftoverBytes }: DiskUsage): StoreUsage {
  return {
    layerBytes: layers.totalBytes,
    blobBytes: blobs.totalBytes,
    snapshotBytes: snapshots.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    heldBytes: held.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    leftoverBytes,
    reclaimableBytes: layers.reclaimableBytes + blobs.reclaimableBytes + leftoverBytes,
  };
}
