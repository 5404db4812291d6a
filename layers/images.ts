/**
 * The images of a store: adding, finding, naming and removing them. A reference names one image; an image may have many,
 * or none. Removing an image removes what only it reached, at once if nobody else is at work, else with the next `gc`.
 */

import { type ChainId, chainIdOf, type Digest, digestOf } from "../src/digest.ts";
import { ConflictError, IntegrityError, UsageError } from "../src/errors.ts";
import { deleteImage, type ImageLayerRow, insertImage, listImageRows } from "../src/meta/images.ts";
import { deleteRef, listRefsOf, setRef } from "../src/meta/refs.ts";
import { listSnapshotsOf } from "../src/meta/snapshots.ts";
import type { BlobWriter } from "./content/blob-store.ts";
import { type Image, type ImageLayer, imageOfRow } from "./image.ts";
import { tryAcquireLock } from "./locks.ts";
import type { Document } from "./oci/descriptor.ts";
import {
  checkLayerCount,
  type HistoryEntry,
  type ImageConfig,
  parseImageConfig,
  platformOf,
} from "./oci/image-config.ts";
import { type Manifest, parseManifest } from "./oci/manifest.ts";
import { formatReference, parseReference } from "./oci/reference.ts";
import { storagesOn } from "./podman/dependents.ts";
import { followImages } from "./podman/follow.ts";
import { type FoundImage, familiar, findImage } from "./resolve-image.ts";
import type { Store } from "./store.ts";
import { sweep } from "./sweep.ts";

export type { Image } from "./image.ts";

/** An image to add. Its layer blobs are in the store already, or in `layers`. */
export interface NewImage {
  readonly manifest: Document;
  readonly config: Document;
  /** Blobs that are written and not stored yet. */
  readonly layers?: readonly BlobWriter[];
  /** Names to give it, without a digest. */
  readonly references: readonly string[];
}

/** What `untagImages` did for one argument. */
export interface UntaggedImage {
  readonly digest: Digest;
  /** The references that went. */
  readonly untagged: readonly string[];
  /** True if the image went with its last reference. */
  readonly deleted: boolean;
}

/** One step in the making of an image, and the layer that it made; null for a change of the config only. */
export interface HistoryStep {
  readonly entry: HistoryEntry;
  readonly layer: ImageLayer | null;
}

/**
 * Adds an image and gives it its names, in one durable transaction after its blobs are stored. Safe to
 * repeat. The caller holds the lock "gc" shared, since before it added the layers.
 * @returns the digest of the manifest
 * @throws {IntegrityError} `ERR_IMAGE_INCOMPLETE` if a layer blob is not in the store, `ERR_CONFIG_MISMATCH`, and what
 * the parsers throw
 * @throws {UsageError} `ERR_REFERENCE_FORMAT`, `ERR_REFERENCE_DIGEST`
 */
export async function addImage(store: Store, image: NewImage): Promise<Digest> {
  const names = image.references.map(normalizedName);
  const manifest = parseManifest(image.manifest.bytes, image.manifest.descriptor.mediaType);
  const config = parseImageConfig(image.config.bytes);
  checkLayerCount(manifest.layers.length, config);
  await store.blobs.putAll([image.manifest.bytes, image.config.bytes], image.layers);
  const digest = digestOf(image.manifest.bytes);
  const configDigest = digestOf(image.config.bytes);
  checkComplete(store, digest, manifest, configDigest);
  const layers = layerRows(manifest, config);
  const { os, architecture, variant = null } = platformOf(config);
  const topChain = layers.at(-1)?.chainId ?? null;
  const mediaType = manifest.mediaType;
  const row = { digest, mediaType, configDigest, os, architecture, variant, topChain, createdAtMs: Date.now() };
  store.db.transaction("durable", () => {
    insertImage(store.db, row, layers);
    for (const name of names) setRef(store.db, name, digest);
  });
  return digest;
}

function checkComplete(store: Store, digest: Digest, manifest: Manifest, configDigest: Digest): void {
  const data = { digest };
  if (configDigest !== manifest.config.digest) {
    const state = `its manifest names config ${manifest.config.digest}, the config given is ${configDigest}`;
    throw new IntegrityError("ERR_CONFIG_MISMATCH", `Cannot add image "${digest}": ${state}`, { data });
  }
  const missing = manifest.layers.find((layer) => store.blobs.sizeOf(layer.digest) !== layer.size);
  if (missing !== undefined) {
    const state = `layer ${missing.digest} of ${missing.size} bytes is not in the store`;
    throw new IntegrityError("ERR_IMAGE_INCOMPLETE", `Cannot add image "${digest}": ${state}`, { data });
  }
}

function layerRows(manifest: Manifest, config: ImageConfig): readonly ImageLayerRow[] {
  const rows: ImageLayerRow[] = [];
  let parent: ChainId | null = null;
  for (const [index, { digest, mediaType, size }] of manifest.layers.entries()) {
    const diffId = config.rootfs.diff_ids[index];
    if (diffId === undefined) break; // there are as many: checkLayerCount
    parent = chainIdOf(parent, diffId);
    rows.push({ chainId: parent, diffId, digest, mediaType, sizeBytes: size });
  }
  return rows;
}

/** The image that `text` means; `findImage` says how. @throws as `findImage` */
export function resolveImage(store: Store, text: string): Image {
  return imageOfRow(store, findImage(store, text).row);
}

/** Every image, by its first reference; those without one last, by digest. */
export function listImages(store: Store): readonly Image[] {
  const key = (image: Image): string => image.references[0] ?? `~${image.digest}`; // "~" sorts after every name
  return listImageRows(store.db)
    .map((row) => imageOfRow(store, row))
    .sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/**
 * Gives the image another name, taking it from the image that has it, which may be left without one.
 * @returns the name in full
 * @throws {UsageError} `ERR_REFERENCE_FORMAT`, `ERR_REFERENCE_DIGEST`
 */
export async function tagImage(store: Store, image: Image, text: string): Promise<string> {
  const name = normalizedName(text);
  store.db.transaction("durable", () => setRef(store.db, name, image.digest));
  await followImages(store);
  return name;
}

/**
 * Takes names away, and images that are left without one; all of `texts` or none. A digest stands for all names of its
 * image, which must be of one repository.
 * @throws {ConflictError} `ERR_IMAGE_IN_USE`, naming the snapshots made from it, or podman's storages on its layers; `ERR_IMAGE_NAMED` if a digest has names
 * in several repositories
 * @throws as `findImage`
 */
export async function untagImages(store: Store, texts: readonly string[]): Promise<readonly UntaggedImage[]> {
  const images = texts.map((text) => imageOfRow(store, findImage(store, text).row));
  store.useReserve();
  const results = store.db.transaction("durable", () =>
    texts.map((text) => untag(store, text, findImage(store, text))),
  );
  const deleted = images.filter((image) => results.some((result) => result.deleted && result.digest === image.digest));
  await followImages(store); // before the layers go
  await sweepAfter(store, deleted);
  return results;
}

function untag(store: Store, text: string, { row, reference }: FoundImage): UntaggedImage {
  const { digest } = row;
  const names = listRefsOf(store.db, digest);
  const untagged = reference === null ? names : [reference];
  const repositories = new Set(untagged.map((name) => name.slice(0, name.lastIndexOf(":"))));
  if (repositories.size > 1) {
    const state = `it has names in several repositories: ${names.map(familiar).join(", ")}; remove it by its names`;
    throw new ConflictError("ERR_IMAGE_NAMED", `Cannot remove image "${text}": ${state}`, { data: { digest, names } });
  }
  for (const name of untagged) deleteRef(store.db, name);
  if (untagged.length < names.length) return { digest, untagged, deleted: false };
  const snapshots = listSnapshotsOf(store.db, digest);
  if (snapshots.length > 0) {
    const state = `it is used by ${snapshots.map((name) => `"${name}"`).join(", ")}; remove with "layerctl rm" first`;
    const data = { digest, snapshots };
    throw new ConflictError("ERR_IMAGE_IN_USE", `Cannot remove image "${text}": ${state}`, { data });
  }
  const storages = storagesOn(store, digest);
  if (storages.length > 0) {
    const state = `podman has containers or images on its layers in ${storages.map((path) => `"${path}"`).join(", ")}`;
    const message = `Cannot remove image "${text}": ${state}; remove those with podman first`;
    throw new ConflictError("ERR_IMAGE_IN_USE", message, { data: { digest, storages } });
  }
  deleteImage(store.db, digest);
  return { digest, untagged, deleted: true };
}

/** Removes what only these images reached; while somebody adds to the store, that is left to `gc`. */
async function sweepAfter(store: Store, images: readonly Image[]): Promise<void> {
  if (images.length === 0) return;
  using lock = tryAcquireLock(store.layout, "gc", "exclusive");
  if (lock === null) return;
  await sweep(store, {
    chains: new Set(images.flatMap((image) => image.layers.map((layer) => layer.chainId))),
    blobs: new Set(
      images.flatMap((image) => [image.digest, image.configDigest, ...image.layers.map((l) => l.descriptor.digest)]),
    ),
  });
}

/** How the image came to be, oldest step first. Layers that the history does not tell of come last. */
export function imageHistory(image: Image): readonly HistoryStep[] {
  const layers = [...image.layers];
  const steps = (image.config.history ?? []).map((entry) => ({
    entry,
    layer: entry.empty_layer === true ? null : (layers.shift() ?? null),
  }));
  return [...steps, ...layers.map((layer) => ({ entry: {}, layer }))];
}

/** A name that an image can be given, in full. */
function normalizedName(text: string): string {
  const reference = parseReference(text);
  if (reference.digest === null) return formatReference(reference);
  const state = "it contains a digest, which follows from the image";
  throw new UsageError("ERR_REFERENCE_DIGEST", `Cannot name an image "${text}": ${state}`, { data: { text } });
}
