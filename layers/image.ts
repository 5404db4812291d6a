/**
 * An image of the store. What mounting needs is in the rows; the manifest and the config are read and parsed when they
 * are first asked for. Only this file turns the base-first order of image documents into the top-first order of a mount.
 */

import type { ChainId, DiffId, Digest } from "../src/digest.ts";
import { ConflictError } from "../src/errors.ts";
import { type ImageLayerRow, type ImageRow, listImageDirectories, listImageLayers } from "../src/meta/images.ts";
import { listRefsOf } from "../src/meta/refs.ts";
import type { HostPath } from "../src/paths.ts";
import type { BlobStore } from "./content/blob-store.ts";
import { layerTree } from "./layout.ts";
import type { Descriptor, Platform } from "./oci/descriptor.ts";
import { CONFIG_LIMIT_BYTES, type ImageConfig, parseImageConfig } from "./oci/image-config.ts";
import { MANIFEST_LIMIT_BYTES, type Manifest, parseManifest } from "./oci/manifest.ts";
import type { Store } from "./store.ts";

/** One layer of an image. */
export interface ImageLayer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  readonly chainId: ChainId;
}

/** An image as it was when it was looked up. */
export class Image {
  /** Of the manifest. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** What docker calls the image's ID. */
  readonly configDigest: Digest;
  readonly platform: Platform;
  /** Base first. */
  readonly layers: readonly ImageLayer[];
  /** null for an image without layers. */
  readonly topChain: ChainId | null;
  /** In full form, by name. */
  readonly references: readonly string[];
  /** When it came into the store. */
  readonly createdAtMs: number;
  readonly #blobs: BlobStore;
  #manifest: Manifest | undefined;
  #config: ImageConfig | undefined;

  /** Made by `imageOfRow`. */
  constructor(row: ImageRow, layers: readonly ImageLayer[], references: readonly string[], blobs: BlobStore) {
    const { os, architecture, variant } = row;
    this.digest = row.digest;
    this.mediaType = row.mediaType;
    this.configDigest = row.configDigest;
    this.platform = variant === null ? { os, architecture } : { os, architecture, variant };
    this.layers = layers;
    this.topChain = row.topChain;
    this.references = references;
    this.createdAtMs = row.createdAtMs;
    this.#blobs = blobs;
  }

  /** Read from its blob, verified. @throws what `BlobStore.readJson` throws */
  get manifest(): Manifest {
    this.#manifest ??= parseManifest(this.#blobs.readJson(this.digest, MANIFEST_LIMIT_BYTES), this.mediaType);
    return this.#manifest;
  }

  /** Read from its blob, verified. @throws what `BlobStore.readJson` throws */
  get config(): ImageConfig {
    this.#config ??= parseImageConfig(this.#blobs.readJson(this.configDigest, CONFIG_LIMIT_BYTES));
    return this.#config;
  }
}

/** The image of a row, with its layers and references. */
export function imageOfRow(store: Store, row: ImageRow): Image {
  const layers = listImageLayers(store.db, row.digest).map(layerOfRow);
  return new Image(row, layers, listRefsOf(store.db, row.digest), store.blobs);
}

function layerOfRow({ chainId, diffId, digest, mediaType, sizeBytes }: ImageLayerRow): ImageLayer {
  return { descriptor: { mediaType, digest, size: sizeBytes }, diffId, chainId };
}

/**
 * The lowerdirs of an image, top first. Never empty: an image without layers is one empty directory.
 * @throws {ConflictError} `ERR_LAYER_NOT_UNPACKED` if a layer is not unpacked (`ensureUnpacked` was not called)
 */
export function lowerdirsOf(store: Store, image: Image): readonly HostPath[] {
  const directories = listImageDirectories(store.db, image.digest);
  if (directories.length === 0) return [store.layout.empty];
  const lowerdirs = directories.map((directory, index) => {
    if (directory !== null) return layerTree(store.layout, directory);
    const diffId = image.layers[index]?.diffId;
    throw new ConflictError(
      "ERR_LAYER_NOT_UNPACKED",
      `Cannot use image "${image.digest}": layer ${diffId} is not unpacked`,
      {
        data: { image: image.digest, diffId },
      },
    );
  });
  return lowerdirs.reverse();
}
