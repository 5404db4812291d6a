/** What every image source gives, whatever its format: images as descriptors, and where the bytes of each blob lie. */

import type { DiffId } from "../../src/digest.ts";
import type { HostPath } from "../../src/paths.ts";
import type { Descriptor, Platform } from "../oci/descriptor.ts";

export type SourceFormat = "oci-layout" | "oci-archive" | "docker-archive" | "rootfs";

/** A run of bytes in a file on this machine. Nothing has been verified yet. */
export interface BlobLocation {
  readonly file: HostPath;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** A layer of an image in a source. `descriptor.digest` and `diffId` are claims that the import verifies. */
export interface SourceLayer {
  /** null if the source names no digest for the bytes (a plain tar in a docker-archive, a rootfs tar). */
  readonly descriptor: Descriptor | null;
  /** null for a rootfs tar, whose diffID is found out by unpacking it. */
  readonly diffId: DiffId | null;
  readonly location: BlobLocation;
}

/** One image of a source, for one platform. */
export interface SourceImage {
  /** The references that the source gives this image, normalised ("docker.io/library/busybox:latest"). */
  readonly references: readonly string[];
  /** The manifest's exact bytes, already verified against their digest; null if the source has none (docker-archive, rootfs). */
  readonly manifest: { readonly descriptor: Descriptor; readonly bytes: Buffer } | null;
  /** The config's exact bytes, verified likewise; null for a rootfs tar. */
  readonly config: { readonly descriptor: Descriptor; readonly bytes: Buffer } | null;
  readonly platform: Platform;
  /** Base first. */
  readonly layers: readonly SourceLayer[];
}

/** An opened source. Disposing removes what was spooled. */
export interface ImageSource extends AsyncDisposable {
  readonly format: SourceFormat;
  readonly images: readonly SourceImage[];
}
