/**
 * What the methods of a store return: plain data, which can be written as JSON. Paths and names of files are text in which
 * a byte that is not UTF-8 is a lone surrogate, as `pathBytes` describes.
 */

import type { Aspect } from "../diff/change.ts";

/** An image that was imported, under one of its names. */
export interface ImportedImage {
  /** In full ("docker.io/library/debian:12"); null if it has no name. */
  readonly reference: string | null;
  /** Of the manifest. */
  readonly digest: string;
}

/** A layer of an image. */
export interface LayerInfo {
  /** Of the uncompressed tar. */
  readonly diffId: string;
  /** Of this layer and all below it (image-spec, config.md, "Layer ChainID"). */
  readonly chainId: string;
  /** Of the blob. */
  readonly digest: string;
  readonly mediaType: string;
  /** Of the blob, in bytes. */
  readonly size: number;
}

/** An image in the store. */
export interface ImageInfo {
  /** Of the manifest. */
  readonly digest: string;
  /** Docker's image ID. */
  readonly configDigest: string;
  /** In full, sorted. */
  readonly references: readonly string[];
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant?: string };
  /** Base first. */
  readonly layers: readonly LayerInfo[];
  /** When it came into the store. */
  readonly addedAt: Date;
}

/** A snapshot: what a mounted tree changes, kept whether it is mounted or not. */
export interface SnapshotInfo {
  readonly name: string;
  /** An active snapshot takes changes, a view does not; a committed one is another program's layer. */
  readonly kind: "active" | "view" | "committed";
  /** The digest of the image it was made from; null for one that another program made. */
  readonly image: string | null;
  readonly createdAt: Date;
  /** What is changed is here; null for a view. Not to be written to while the snapshot is mounted. */
  readonly upperdir: string | null;
  /** Where it is mounted; null if it is not. */
  readonly target: string | null;
  /** What made the mount; null if it is not mounted. */
  readonly backend: "kernel" | "fuse" | null;
}

/** A snapshot that has been mounted. */
export interface MountedSnapshot extends SnapshotInfo {
  readonly target: string;
  readonly backend: "kernel" | "fuse";
}

/** One path that differs. */
export interface Change {
  /** Added, changed, deleted. A directory that is deleted or replaced stands for everything in it. */
  readonly kind: "A" | "C" | "D";
  /** From the tree's root: "/etc/hosts"; "/" for the root. */
  readonly path: string;
  /** For "C", what has changed; [] otherwise. */
  readonly what: readonly Aspect[];
  /** Of a regular file afterwards, in bytes; 0 for everything else. */
  readonly size: number;
}

/** Something that a tar of a layer cannot hold. */
export interface SkippedEntry {
  readonly path: string;
  readonly reason: "socket" | "reserved-name";
}

/** A tar that was written. */
export interface TarResult {
  /** In bytes. */
  readonly size: number;
  readonly skipped: readonly SkippedEntry[];
}

/** An image that was made of a snapshot's changes. */
export interface CommittedImage {
  /** Of the manifest. */
  readonly digest: string;
  readonly configDigest: string;
  /** Of the new layer's blob; null if nothing had changed. */
  readonly layer: string | null;
  /** Of the new layer; null if nothing had changed. */
  readonly diffId: string | null;
  readonly skipped: readonly SkippedEntry[];
}

/** What a check found. */
export interface StoreFinding {
  readonly kind: string;
  /** "error": something is lost or wrong. "garbage": files that nothing needs. */
  readonly severity: "error" | "garbage";
  readonly subject: string;
  readonly message: string;
  /** What can be done about it. */
  readonly advice: string;
  readonly repaired: boolean;
}

/** The result of a check. */
export interface StoreCheck {
  /** False if there is an error that has not been repaired. */
  readonly isSound: boolean;
  readonly findings: readonly StoreFinding[];
}

/** Something that nothing needed. */
export interface GarbageItem {
  readonly kind: string;
  readonly name: string;
  /** In bytes. */
  readonly size: number;
}

/** What a collection of garbage removed, or would. */
export interface CollectedGarbage {
  readonly removed: readonly GarbageItem[];
  readonly freedBytes: number;
}

/** What the store takes, in bytes. */
export interface StoreUsage {
  /** Unpacked layers, blobs, changes in snapshots, what other engines have beside layers, and what dead processes left. */
  readonly layerBytes: number;
  readonly blobBytes: number;
  readonly snapshotBytes: number;
  readonly heldBytes: number;
  readonly leftoverBytes: number;
  /** What `collectGarbage` would free. */
  readonly reclaimableBytes: number;
}
