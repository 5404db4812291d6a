/**
 * Images of a docker-archive, what `docker save` writes: `manifest.json` names a config and layer tars for each image
 * (docker's image.spec v1.2). Layers may be compressed, and links to one another. Since docker 25 the archive is an
 * OCI layout as well, which is then what is read; only the tags are taken from here.
 */

import { type DiffId, type Digest, digestOf, isDigest, parseDigest } from "../../src/digest.ts";
import { IntegrityError } from "../../src/errors.ts";
import { sniffCompression } from "../apply/decompress.ts";
import type { Descriptor, Platform } from "../oci/descriptor.ts";
import { readDescriptor } from "../oci/descriptor.ts";
import {
  CONFIG_LIMIT_BYTES,
  checkLayerCount,
  type ImageConfig,
  parseImageConfig,
  platformOf,
} from "../oci/image-config.ts";
import { type JsonNode, parseJson } from "../oci/json.ts";
import { MANIFEST_LIMIT_BYTES } from "../oci/manifest.ts";
import { layerMediaType, OCI_CONFIG } from "../oci/media-types.ts";
import { platformRank } from "../oci/platform.ts";
import { parseSourceReference } from "../oci/reference.ts";
import { ambiguousName, noImageFor } from "./refusals.ts";
import type { BlobLocation, SourceImage, SourceLayer } from "./source.ts";
import { checkDigest, readDocument, readStart, type SourceFiles } from "./source-files.ts";
import { tagged } from "./source-names.ts";

/** One element of `manifest.json`. */
interface SavedEntry {
  readonly config: string;
  readonly tags: readonly string[];
  /** Base first. */
  readonly layers: readonly string[];
  /** By diffID. */
  readonly sources: ReadonlyMap<string, Descriptor>;
}

/** How to read a docker-archive. */
export interface DockerArchiveOptions {
  /** Only images that run on this platform. */
  readonly platform?: Platform | undefined;
  /** Names are not looked at, so that a bad one does not matter. */
  readonly ignoreNames?: boolean | undefined;
}

/**
 * Reads the images of a docker-archive, each once with all its names.
 * @throws {IntegrityError} if it is malformed, a config is not the one its name says, there is no image, or two have one
 * name (`ERR_REFERENCE_AMBIGUOUS`)
 * @throws {NotFoundError} `ERR_PLATFORM_NOT_FOUND`
 */
export async function readDockerArchive(
  files: SourceFiles,
  { platform, ignoreNames = false }: DockerArchiveOptions,
): Promise<readonly SourceImage[]> {
  const entries = await readEntries(files, ignoreNames);
  if (entries.length === 0) {
    throw new IntegrityError("ERR_IMAGE_NOT_FOUND", 'Cannot import: "manifest.json" has no images');
  }
  const images = new Map<Digest | undefined, SourceImage>();
  for (const entry of entries) {
    const image = await readImage(files, entry);
    const id = image.config?.descriptor.digest;
    const references = [...(images.get(id)?.references ?? []), ...image.references];
    images.set(id, { ...image, references: [...new Set(references)] });
  }
  const all = [...images.values()];
  const chosen = platform === undefined ? all : all.filter((image) => platformRank(platform, image.platform) !== null);
  if (platform !== undefined && chosen.length === 0) throw noImageFor(platform, all);
  const names = chosen.flatMap((image) => image.references);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw ambiguousName(twice);
  return chosen;
}

/** The tags of a docker-archive's images, by the digests of their configs. @throws as `readDockerArchive` */
export async function readDockerTags(files: SourceFiles): Promise<ReadonlyMap<Digest, readonly string[]>> {
  const tags = new Map<Digest, readonly string[]>();
  for (const entry of await readEntries(files, false)) {
    const { digest } = await readConfig(files, entry.config);
    tags.set(digest, [...(tags.get(digest) ?? []), ...entry.tags]);
  }
  return tags;
}

async function readEntries(files: SourceFiles, ignoreNames: boolean): Promise<readonly SavedEntry[]> {
  const location = await locate(files, "manifest.json");
  const bytes = await readDocument(location, "manifest.json", MANIFEST_LIMIT_BYTES);
  const root = parseJson(bytes, "manifest.json", MANIFEST_LIMIT_BYTES);
  if (root.isAbsent) root.refuse("an array");
  return root.items().map((item) => readEntry(item, ignoreNames));
}

function readEntry(item: JsonNode, ignoreNames: boolean): SavedEntry {
  const tags = item.field("RepoTags").strings();
  const sources = item.field("LayerSources");
  const diffIds = sources.isAbsent ? [] : Object.keys(sources.object());
  return {
    config: item.field("Config").string(),
    tags: ignoreNames ? [] : tags.flatMap((tag) => tagged(parseSourceReference(tag)) ?? []),
    layers: item.field("Layers").strings(),
    sources: new Map(diffIds.map((diffId) => [diffId, readDescriptor(sources.field(diffId))])),
  };
}

async function readImage(files: SourceFiles, entry: SavedEntry): Promise<SourceImage> {
  const { bytes, digest, config } = await readConfig(files, entry.config);
  checkLayerCount(entry.layers.length, config);
  const layers: SourceLayer[] = [];
  for (const [i, name] of entry.layers.entries()) {
    const diffId = config.rootfs.diff_ids[i] ?? null;
    const location = await locate(files, name);
    layers.push({ descriptor: await layerDescriptor(name, location, diffId, entry), diffId, location });
  }
  return {
    references: [...new Set(entry.tags)],
    manifest: null,
    config: { descriptor: { mediaType: OCI_CONFIG, digest, size: bytes.length }, bytes },
    platform: platformOf(config),
    layers,
  };
}

async function readConfig(
  files: SourceFiles,
  name: string,
): Promise<{ readonly bytes: Buffer; readonly digest: Digest; readonly config: ImageConfig }> {
  const bytes = await readDocument(await locate(files, name), "config", CONFIG_LIMIT_BYTES);
  const claimed = digestInName(name);
  if (claimed !== null) checkDigest(bytes, claimed, "config");
  return { bytes, digest: claimed ?? digestOf(bytes), config: parseImageConfig(bytes) };
}

/** The digest that a file is called after: `blobs/sha256/HEX`, `HEX.json`, `sha256:HEX`. */
function digestInName(name: string): Digest | null {
  const hex = /^(?:blobs\/sha256\/|sha256:)?([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
  return hex === undefined ? null : parseDigest(`sha256:${hex}`);
}

/**
 * What the archive says of a layer's bytes. Only `blobs/sha256/HEX` names them by digest: `LayerSources` also
 * describes what a layer was before it was saved, so it counts only if it has the size of what is here.
 */
async function layerDescriptor(
  name: string,
  location: BlobLocation,
  diffId: DiffId | null,
  { sources }: SavedEntry,
): Promise<Descriptor | null> {
  const inName = name.startsWith("blobs/sha256/") ? `sha256:${name.slice("blobs/sha256/".length)}` : "";
  const source = diffId === null ? undefined : sources.get(diffId);
  const fits = source !== undefined && source.size === location.sizeBytes;
  const digest = isDigest(inName) ? inName : fits ? source.digest : null;
  if (digest === null) return null;
  const mediaType = layerMediaType(sniffCompression(await readStart(location)));
  return { mediaType, digest, size: location.sizeBytes };
}

async function locate(files: SourceFiles, name: string): Promise<BlobLocation> {
  const location = await files.locate(name);
  if (location !== null) return location;
  const shown = JSON.stringify(name.slice(0, 300));
  throw new IntegrityError("ERR_BLOB_MISSING", `Cannot read ${shown}: the archive does not have it`);
}
