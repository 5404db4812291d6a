/** What is written when images are saved: the same blobs, under the names that other tools look for. */

import type { Digest } from "../../src/digest.ts";
import type { HostPath } from "../../src/paths.ts";
import type { Descriptor, Platform } from "../oci/descriptor.ts";
import { OCI_INDEX } from "../oci/media-types.ts";
import { parseReference } from "../oci/reference.ts";
import { blobName } from "./source-files.ts";
import { CONTAINERD_NAME, REF_NAME } from "./source-names.ts";

/** An image to save. Every blob is written as it is, so every digest stays. */
export interface SavedImage {
  /** In full form; none for an image without a name. */
  readonly references: readonly string[];
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  /** Base first. */
  readonly layers: readonly Descriptor[];
  readonly platform: Platform;
}

/** How to write. */
export interface WriteOptions {
  /** The file of a blob. */
  readonly blobPath: (digest: Digest) => HostPath;
  readonly signal?: AbortSignal | undefined;
  /** Called as blobs are written. */
  readonly onProgress?: ((progress: SaveProgress) => void) | undefined;
}

/** Bytes of blobs. */
export interface SaveProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** The content of `oci-layout`. */
export const LAYOUT_HEADER = '{"imageLayoutVersion":"1.0.0"}';

/** An entry of `index.json` as it is in the file: other tools' may have fields we do not know. */
export interface IndexEntry {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The blobs of the images, each once, by digest: the order is the same each time. */
export function blobsOf(images: readonly SavedImage[]): readonly Descriptor[] {
  const all = images.flatMap(({ manifest, config, layers }) => [manifest, config, ...layers]);
  const byDigest = new Map(all.map((descriptor) => [descriptor.digest, descriptor]));
  return [...byDigest.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

/**
 * The entries of an index that holds `existing` ones and then `images`: an entry for each reference, or one without a
 * name. An existing entry of the same name goes, as with skopeo.
 *
 * `io.containerd.image.name` is the full name, for docker, podman and containerd. `org.opencontainers.image.ref.name` is
 * the tag, which is what skopeo's `oci:DIR:TAG` and umoci's `DIR:TAG` look for; if another entry has that tag too, both
 * names are the full one.
 */
export function indexEntries(existing: readonly IndexEntry[], images: readonly SavedImage[]): readonly IndexEntry[] {
  const named = images.flatMap((image) =>
    (image.references.length === 0 ? [null] : image.references).map((reference) => ({ image, reference })),
  );
  const kept = existing.filter((entry) => !named.some(({ image, reference }) => replaces(image, reference, entry)));
  const tags = [
    ...kept.map((entry) => entry.annotations?.[REF_NAME]),
    ...named.map(({ reference }) => tagOf(reference)),
  ];
  const made = named.map(({ image, reference }): IndexEntry => {
    const { mediaType, digest, size } = image.manifest;
    const entry = { mediaType, digest, size, platform: image.platform };
    const tag = tagOf(reference);
    if (reference === null || tag === null) return entry;
    const isShared = tags.filter((other) => other === tag).length > 1;
    return { ...entry, annotations: { [CONTAINERD_NAME]: reference, [REF_NAME]: isShared ? reference : tag } };
  });
  return [...kept, ...made];
}

function replaces({ manifest }: SavedImage, reference: string | null, entry: IndexEntry): boolean {
  const full = entry.annotations?.[CONTAINERD_NAME];
  const refName = entry.annotations?.[REF_NAME];
  if (reference === null) return full === undefined && refName === undefined && entry.digest === manifest.digest;
  if (full !== undefined) return full === reference;
  return refName !== undefined && (refName === reference || refName === tagOf(reference));
}

function tagOf(reference: string | null): string | null {
  return reference === null ? null : parseReference(reference).tag;
}

/** The bytes of `index.json`. `rest` are fields to keep. */
export function encodeIndex(entries: readonly IndexEntry[], rest: object = {}): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, ...rest, manifests: entries }));
}

/**
 * The bytes of docker's `manifest.json`, in its form of version 25 and later: paths are those of the OCI layout. Tags are
 * full names, as podman writes them: docker reads either, podman takes "debian:12" for "localhost/debian:12".
 */
export function encodeDockerManifest(images: readonly SavedImage[]): Buffer {
  const list = images.map(({ references, config, layers }) => ({
    Config: blobName(config),
    RepoTags: references.length === 0 ? null : references,
    Layers: layers.map(blobName),
  }));
  return Buffer.from(JSON.stringify(list));
}
