/** Image manifests (OCI image-spec, manifest.md; docker's image manifest version 2, schema 2). */

import { IntegrityError, UnsupportedError } from "../../src/errors.ts";
import { type Descriptor, type Document, documentOf, readDescriptor } from "./descriptor.ts";
import { type JsonNode, parseJson } from "./json.ts";
import {
  checkConfigMediaType,
  checkLayerMediaType,
  checkManifestMediaType,
  isImageConfig,
  isImageLayer,
  OCI_MANIFEST,
  SCHEMA_1,
} from "./media-types.ts";

/** The most bytes of a manifest or an index: what registries accept too. */
export const MANIFEST_LIMIT_BYTES = 4 * 2 ** 20;

/** An image manifest, of either kind. */
export interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Base first. */
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * Parses an image manifest. `mediaType` is what its descriptor calls it.
 * @throws {IntegrityError} if it is malformed, or looks like an index too
 * @throws {UnsupportedError} `ERR_SCHEMA_VERSION`, or `ERR_MEDIA_TYPE` for an artifact or a layer that is not a tar
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string): Manifest {
  const root = parseJson(bytes, "manifest", MANIFEST_LIMIT_BYTES);
  checkSchemaVersion(root);
  const type = checkSameMediaType(root, mediaType) ?? OCI_MANIFEST;
  checkManifestMediaType(type);
  refuseFields(root, ["manifests", "fsLayers"]);
  const config = readDescriptor(root.field("config"));
  checkConfigMediaType(config.mediaType);
  const layers = root.field("layers").items().map(readDescriptor);
  for (const layer of layers) checkLayerMediaType(layer.mediaType);
  const annotations = root.field("annotations");
  return { mediaType: type, config, layers, ...(annotations.isAbsent ? {} : { annotations: annotations.stringMap() }) };
}

/**
 * What a manifest is of, if not of a container image: an artifact has another kind of config (manifest.md, "Guidelines
 * for Artifact Usage"), or an image's config and none of its layers (cosign's signatures). null for an image.
 * @throws {IntegrityError} if it is malformed
 */
export function artifactTypeOf(bytes: Uint8Array): string | null {
  const root = parseJson(bytes, "manifest", MANIFEST_LIMIT_BYTES);
  const config = root.field("config");
  if (config.isAbsent) return null;
  const configType = config.field("mediaType").string();
  if (!isImageConfig(configType)) return root.field("artifactType").optionalString() ?? configType;
  const layerTypes = root
    .field("layers")
    .items()
    .map((layer) => layer.field("mediaType").string());
  return layerTypes.some(isImageLayer) ? null : (layerTypes[0] ?? null);
}

/** @throws {UnsupportedError} `ERR_SCHEMA_VERSION` for docker's schema 1, or a version not known */
export function checkSchemaVersion(root: JsonNode): void {
  const version = root.field("schemaVersion").size();
  if (version === 2) return;
  throw new UnsupportedError(
    "ERR_SCHEMA_VERSION",
    `Cannot use a ${root.path} with schemaVersion ${version}: ${version === 1 ? SCHEMA_1 : "only version 2 is known"}`,
    { data: { schemaVersion: version } },
  );
}

/** The media type in a document, which must be the one that its descriptor gives, if both are there. */
export function checkSameMediaType(root: JsonNode, expected: string | undefined): string | undefined {
  const found = root.field("mediaType").optionalString();
  if (found !== undefined && expected !== undefined && found !== expected) {
    const why = `it calls itself ${JSON.stringify(found.slice(0, 200))}, its descriptor ${JSON.stringify(expected)}`;
    throw new IntegrityError("ERR_MEDIA_TYPE_MISMATCH", `Cannot use the ${root.path}: ${why}`);
  }
  return found ?? expected;
}

/** A document that is a manifest to one reader and an index to another is refused (CVE-2021-41190). */
export function refuseFields(root: JsonNode, names: readonly string[]): void {
  const found = names.find((name) => !root.field(name).isAbsent);
  if (found === undefined) return;
  throw new IntegrityError("ERR_DOCUMENT_AMBIGUOUS", `Cannot use the ${root.path}: it also has "${found}"`);
}

/** The OCI manifest of these, the same bytes each time. `layers` are base first. */
export function encodeManifest(config: Descriptor, layers: readonly Descriptor[]): Document {
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: bare(config), layers: layers.map(bare) };
  return documentOf(OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)));
}

/** The fields of a descriptor in a fixed order. */
function bare(descriptor: Descriptor): Descriptor {
  const { mediaType, digest, size, annotations } = descriptor;
  return { mediaType, digest, size, ...(annotations === undefined ? {} : { annotations }) };
}
