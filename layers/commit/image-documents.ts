/**
 * The config and the manifest of an image with one more layer, or with only another config (OCI image-spec, config.md and
 * manifest.md). What the base's config says and no change touches stays, unknown fields too, in its order.
 */

import type { DiffId } from "../../src/digest.ts";
import { type Descriptor, type Document, documentOf } from "../oci/descriptor.ts";
import { encodeImageConfig, type HistoryEntry, type ImageConfig } from "../oci/image-config.ts";
import { encodeManifest, type Manifest } from "../oci/manifest.ts";
import { DOCKER_MANIFEST, layerMediaType } from "../oci/media-types.ts";
import type { Compression } from "./compress.ts";
import { applyConfigChanges } from "./config-changes.ts";

export interface NewHistory {
  /** RFC 3339. */
  readonly created: string;
  readonly createdBy: string;
  readonly author?: string;
  readonly comment?: string;
}

/**
 * The config after `changes`, with a layer if `diffId` is not null.
 * @throws {UsageError} `ERR_CONFIG_CHANGE`
 */
export function nextConfig(
  base: ImageConfig,
  diffId: DiffId | null,
  changes: readonly string[],
  { created, createdBy, author, comment }: NewHistory,
): ImageConfig {
  const entry: HistoryEntry = {
    created,
    created_by: createdBy,
    ...(author === undefined ? {} : { author }),
    ...(comment === undefined ? {} : { comment }),
    ...(diffId === null ? { empty_layer: true } : {}),
  };
  const diffIds = diffId === null ? base.rootfs.diff_ids : [...base.rootfs.diff_ids, diffId];
  return {
    ...base,
    created,
    ...(author === undefined ? {} : { author }),
    ...(changes.length === 0 ? {} : { config: applyConfigChanges(base.config ?? {}, changes) }),
    rootfs: { ...base.rootfs, diff_ids: diffIds },
    history: [...wholeHistory(base), entry],
  };
}

/** The history with an entry for every layer: readers pair the two by counting. */
function wholeHistory(config: ImageConfig): readonly HistoryEntry[] {
  const history = config.history ?? [];
  const told = history.filter((entry) => entry.empty_layer !== true).length;
  const untold = Math.max(0, config.rootfs.diff_ids.length - told);
  return [...history, ...Array.from({ length: untold }, () => ({}))];
}

const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar";
const OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";

/** The layer to add on top: its blob, and how it is compressed. */
export type NewLayer = Pick<Descriptor, "digest" | "size"> & { readonly compression: Compression };

/** The documents of an image, and the new layer's descriptor in them; null without a layer. */
export interface ImageDocuments {
  readonly config: Document;
  readonly manifest: Document;
  readonly layer: Descriptor | null;
}

/**
 * The documents of an image on `base`, in the family of its media types. Docker's has none for zstd that docker itself
 * would take: such a layer makes it an OCI image.
 */
export function imageDocuments(base: Manifest, config: ImageConfig, layer: NewLayer | null): ImageDocuments {
  const isDocker = base.mediaType === DOCKER_MANIFEST && layer?.compression !== "zstd";
  const encoded = encodeImageConfig(config);
  const top = layer === null ? null : layerDescriptor(layer, isDocker);
  if (isDocker) {
    const document = documentOf(DOCKER_CONFIG, encoded.bytes);
    const layers = top === null ? base.layers : [...base.layers, top];
    return { config: document, manifest: dockerManifest(document.descriptor, layers), layer: top };
  }
  const below = base.layers.map((descriptor) => ({ ...descriptor, mediaType: ociLayerType(descriptor.mediaType) }));
  const layers = top === null ? below : [...below, top];
  return { config: encoded, manifest: encodeManifest(encoded.descriptor, layers), layer: top };
}

function layerDescriptor({ digest, size, compression }: NewLayer, isDocker: boolean): Descriptor {
  const suffix = compression === "none" ? "" : `.${compression}`;
  return { mediaType: isDocker ? DOCKER_LAYER + suffix : layerMediaType(compression), digest, size };
}

function dockerManifest(config: Descriptor, layers: readonly Descriptor[]): Document {
  const bare = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, size, digest });
  const manifest = { schemaVersion: 2, mediaType: DOCKER_MANIFEST, config: bare(config), layers: layers.map(bare) };
  return documentOf(DOCKER_MANIFEST, Buffer.from(JSON.stringify(manifest)));
}

/** OCI's name for a layer's type, whichever family it is in. */
function ociLayerType(mediaType: string): string {
  for (const [docker, oci] of [
    [DOCKER_LAYER, layerMediaType("none")],
    [DOCKER_FOREIGN_LAYER, OCI_FOREIGN_LAYER],
  ] as const) {
    if (mediaType === docker) return oci;
    if (mediaType.startsWith(`${docker}.`)) return `${oci}+${mediaType.slice(docker.length + 1)}`;
  }
  return mediaType;
}
