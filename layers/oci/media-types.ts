/** Media types (OCI image-spec, media-types.md; distribution's schema 2) and what layerctl does with each. */

import { UnsupportedError } from "../../src/errors.ts";

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
const DOCKER_SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/;

const LAYER = new Set([
  ...["", "+gzip", "+zstd"].flatMap((suffix) => [
    `${OCI_LAYER}${suffix}`,
    `application/vnd.oci.image.layer.nondistributable.v1.tar${suffix}`,
  ]),
  ...["", ".gzip", ".zstd"].flatMap((suffix) => [
    `application/vnd.docker.image.rootfs.diff.tar${suffix}`,
    `application/vnd.docker.image.rootfs.foreign.diff.tar${suffix}`,
  ]),
]);

/** What a descriptor in an index points to; null for what is neither (an artifact of another kind). */
export function indexEntryKind(mediaType: string): "index" | "manifest" | null {
  if (mediaType === OCI_INDEX || mediaType === DOCKER_LIST) return "index";
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST ? "manifest" : null;
}

/** True for the config of a container image. */
export function isImageConfig(mediaType: string): boolean {
  return mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG;
}

/** True for a layer of a container image, also one that layerctl cannot use. */
export function isImageLayer(mediaType: string): boolean {
  return /^application\/vnd\.(oci\.image\.layer|docker\.image\.rootfs)\./.test(mediaType);
}

/** The media type of a layer that layerctl writes, or finds without a descriptor. */
export function layerMediaType(compression: "none" | "gzip" | "zstd"): string {
  return compression === "none" ? OCI_LAYER : `${OCI_LAYER}+${compression}`;
}

/** @throws {UnsupportedError} `ERR_MEDIA_TYPE` unless it is a tar layer, whose compression is then told from its bytes */
export function checkLayerMediaType(mediaType: string): void {
  if (LAYER.has(mediaType)) return;
  throw unsupported("layer", mediaType, mediaType.endsWith("+encrypted") ? "it is encrypted" : "it is not a tar layer");
}

/** @throws {UnsupportedError} `ERR_MEDIA_TYPE` unless it is the config of a container image */
export function checkConfigMediaType(mediaType: string): void {
  if (isImageConfig(mediaType)) return;
  throw unsupported("manifest", mediaType, "its config is not an image's: it is another kind of artifact");
}

/** @throws {UnsupportedError} `ERR_MEDIA_TYPE` for anything but an image manifest */
export function checkManifestMediaType(mediaType: string): void {
  if (mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST) return;
  const old = DOCKER_SCHEMA_1.test(mediaType);
  throw unsupported("manifest", mediaType, old ? SCHEMA_1 : "it is not an image manifest");
}

/** What to say of docker's first manifest format. */
export const SCHEMA_1 =
  'it is of docker\'s schema 1, deprecated since 2019; convert it with "skopeo copy --format oci" first';

function unsupported(what: string, mediaType: string, why: string): UnsupportedError {
  const shown = JSON.stringify(mediaType.slice(0, 200));
  return new UnsupportedError("ERR_MEDIA_TYPE", `Cannot use a ${what} of type ${shown}: ${why}`, {
    data: { mediaType },
  });
}
