/** Image indexes (OCI image-spec, image-index.md; docker's manifest list), and the header of a layout. */

import { UnsupportedError } from "../../src/errors.ts";
import { type Descriptor, readDescriptor } from "./descriptor.ts";
import { type JsonNode, parseJson } from "./json.ts";
import { checkSameMediaType, checkSchemaVersion, MANIFEST_LIMIT_BYTES, refuseFields } from "./manifest.ts";
import { indexEntryKind } from "./media-types.ts";

/** An index, of either kind. */
export interface ImageIndex {
  readonly manifests: readonly Descriptor[];
}

/**
 * Parses an index or manifest list. `mediaType` is what its descriptor calls it.
 * @throws {IntegrityError} if it is malformed, or looks like a manifest too
 * @throws {UnsupportedError} `ERR_SCHEMA_VERSION` or `ERR_MEDIA_TYPE`
 */
export function parseIndex(bytes: Uint8Array, mediaType?: string): ImageIndex {
  return readIndex(parseJson(bytes, "index", MANIFEST_LIMIT_BYTES), mediaType);
}

/** As `parseIndex`, for the file `index.json` of a layout. */
export function parseLayoutIndex(bytes: Uint8Array): ImageIndex {
  return readIndex(parseJson(bytes, "index.json", MANIFEST_LIMIT_BYTES), undefined);
}

function readIndex(root: JsonNode, mediaType: string | undefined): ImageIndex {
  checkSchemaVersion(root);
  const type = checkSameMediaType(root, mediaType);
  if (type !== undefined && indexEntryKind(type) !== "index") {
    throw new UnsupportedError("ERR_MEDIA_TYPE", `Cannot use an index of type ${JSON.stringify(type.slice(0, 200))}`);
  }
  refuseFields(root, ["config", "layers", "fsLayers"]);
  return { manifests: root.field("manifests").items().map(readDescriptor) };
}

/** An attestation: it says something of an image in the same index and is none itself (buildkit's form). */
export function isAttestation(descriptor: Descriptor): boolean {
  const { platform, annotations } = descriptor;
  if (annotations !== undefined && Object.hasOwn(annotations, "vnd.docker.reference.type")) return true;
  return platform?.os === "unknown" && platform.architecture === "unknown";
}

/** The most bytes of the file `oci-layout`. */
export const LAYOUT_HEADER_LIMIT_BYTES = 64 * 1024;

/**
 * Checks the file `oci-layout` (image-layout.md).
 * @throws {IntegrityError} if it is malformed
 * @throws {UnsupportedError} `ERR_LAYOUT_VERSION` for a version other than 1
 */
export function checkLayoutHeader(bytes: Uint8Array): void {
  const version = parseJson(bytes, "oci-layout", LAYOUT_HEADER_LIMIT_BYTES).field("imageLayoutVersion").string();
  if (/^1\.\d+\.\d+/.test(version)) return;
  const shown = JSON.stringify(version.slice(0, 100));
  throw new UnsupportedError("ERR_LAYOUT_VERSION", `Cannot use an OCI layout of version ${shown}: only 1.x is known`);
}
