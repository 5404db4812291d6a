/** Images of an OCI layout (image-layout.md), in a directory or in an archive. */

import type { Digest } from "../../src/digest.ts";
import { IntegrityError } from "../../src/errors.ts";
import type { Descriptor, Platform } from "../oci/descriptor.ts";
import { CONFIG_LIMIT_BYTES, checkLayerCount, parseImageConfig, platformOf } from "../oci/image-config.ts";
import { checkLayoutHeader, isAttestation, LAYOUT_HEADER_LIMIT_BYTES, parseLayoutIndex } from "../oci/image-index.ts";
import { MANIFEST_LIMIT_BYTES, parseManifest } from "../oci/manifest.ts";
import { artifactType, ImageChooser } from "./image-choice.ts";
import { ambiguousName } from "./refusals.ts";
import type { SourceImage, SourceLayer } from "./source.ts";
import { locateBlob, readBlob, readDocument, type SourceFiles } from "./source-files.ts";
import { entryName, tagged } from "./source-names.ts";

/** How to read a layout. */
export interface LayoutOptions {
  readonly platform?: Platform | undefined;
  /** Names are not looked at, so that a bad one does not matter. */
  readonly ignoreNames?: boolean | undefined;
  /** "localhost/NAME" for images that have only a tag; null if there is nothing to make one from. */
  readonly repository: string | null;
  /** More references, by the digest of the image's config. They come before one made from `repository`. */
  readonly tagsByConfig?: ReadonlyMap<Digest, readonly string[]>;
}

/** The entries of an index that are one image under one name. */
interface Group {
  readonly entries: Descriptor[];
  readonly reference: string | null;
  readonly tag: string | null;
}

/**
 * Reads the images of the layout whose files are `files`, one for each name, for one platform.
 * @throws {IntegrityError} if it is malformed or empty, or two images have one name (`ERR_REFERENCE_AMBIGUOUS`)
 * @throws {NotFoundError} `ERR_PLATFORM_NOT_FOUND`
 */
export async function readLayout(files: SourceFiles, options: LayoutOptions): Promise<readonly SourceImage[]> {
  const { manifests } = parseLayoutIndex(await readTop(files, "index.json", MANIFEST_LIMIT_BYTES));
  checkLayoutHeader(await readTop(files, "oci-layout", LAYOUT_HEADER_LIMIT_BYTES));
  const images = new Map<Digest, SourceImage>();
  const chooser = new ImageChooser(
    files,
    options.platform,
    async (manifest) => (await readImage(files, manifest)).platform,
  );
  const groups = groupByName(await imagesAmong(files, manifests), options);
  for (const group of groups) {
    const chosen = await chooser.choose(group.entries);
    if (chosen.length > 1 && (group.reference ?? group.tag) !== null) throw ambiguousName(group.reference ?? group.tag);
    for (const { descriptor } of chosen) {
      const image = images.get(descriptor.digest) ?? (await readImage(files, descriptor));
      const isOnly = groups.length === 1 && chosen.length === 1;
      const references = [...image.references, ...referencesOf(image, group, isOnly, options)];
      images.set(descriptor.digest, { ...image, references: [...new Set(references)] });
    }
  }
  return [...images.values()];
}

async function readTop(files: SourceFiles, name: string, limitBytes: number): Promise<Buffer> {
  const location = await files.locate(name);
  if (location !== null) return await readDocument(location, name, limitBytes);
  throw new IntegrityError("ERR_LAYOUT_INCOMPLETE", `Cannot read the OCI layout: it has no "${name}"`);
}

/** The entries without attestations and artifacts, which may have names too; if there is nothing else, all of these. */
async function imagesAmong(files: SourceFiles, entries: readonly Descriptor[]): Promise<readonly Descriptor[]> {
  const candidates = entries.filter((entry) => !isAttestation(entry));
  const images: Descriptor[] = [];
  for (const entry of candidates) if ((await artifactType(files, entry)) === null) images.push(entry);
  return images.length > 0 ? images : candidates;
}

/** Entries without a name are one group. An empty index is one, too, so that the choice can say so. */
function groupByName(entries: readonly Descriptor[], options: LayoutOptions): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const entry of entries) {
    const name = options.ignoreNames === true ? ({ kind: "none" } as const) : entryName(entry);
    const reference = name.kind === "reference" ? tagged(name.reference) : null;
    const tag = name.kind === "tag" ? name.tag : null;
    const key = reference ?? tag ?? "";
    const group = groups.get(key) ?? { entries: [], reference, tag };
    group.entries.push(entry);
    groups.set(key, group);
  }
  return groups.size === 0 ? [{ entries: [], reference: null, tag: null }] : [...groups.values()];
}

function referencesOf(
  image: SourceImage,
  group: Group,
  isOnly: boolean,
  { tagsByConfig, repository, ignoreNames }: LayoutOptions,
): readonly string[] {
  if (ignoreNames === true) return [];
  const named = image.config === null ? [] : (tagsByConfig?.get(image.config.descriptor.digest) ?? []);
  if (group.reference !== null) return [group.reference, ...named];
  if (named.length > 0 || repository === null) return named;
  if (group.tag === null) return isOnly ? [`${repository}:latest`] : [];
  return [`${repository}:${group.tag}`];
}

/** The image of a manifest, without references. Manifest and config are verified, layers only found. */
async function readImage(files: SourceFiles, descriptor: Descriptor): Promise<SourceImage> {
  const bytes = await readBlob(files, descriptor, "manifest", MANIFEST_LIMIT_BYTES);
  const manifest = parseManifest(bytes, descriptor.mediaType);
  const configBytes = await readBlob(files, manifest.config, "config", CONFIG_LIMIT_BYTES);
  const config = parseImageConfig(configBytes);
  checkLayerCount(manifest.layers.length, config);
  const layers: SourceLayer[] = [];
  for (const [i, layer] of manifest.layers.entries()) {
    const location = await locateBlob(files, layer, "layer");
    layers.push({ descriptor: layer, diffId: config.rootfs.diff_ids[i] ?? null, location });
  }
  const { mediaType, digest, size } = descriptor;
  return {
    references: [],
    manifest: { descriptor: { mediaType, digest, size }, bytes },
    config: { descriptor: manifest.config, bytes: configBytes },
    platform: platformOf(config),
    layers,
  };
}
