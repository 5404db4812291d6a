/** Content descriptors (OCI image-spec, descriptor.md). `urls` and `data` are ignored: blobs come from the source. */

import { type Digest, digestOf } from "../../src/digest.ts";
import type { JsonNode } from "./json.ts";

/** What names a blob: its type, digest and size, and what else its referrer says of it. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
}

/** The machine an image runs on (image-index.md). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** A descriptor and the bytes it names. */
export interface Document {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** A document with a descriptor of its own making. */
export function documentOf(mediaType: string, bytes: Buffer): Document {
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes };
}

/** @throws {IntegrityError} `ERR_JSON_TYPE` or `ERR_DIGEST_FORMAT` */
export function readDescriptor(node: JsonNode): Descriptor {
  const annotations = node.field("annotations");
  const platform = node.field("platform");
  return {
    mediaType: node.field("mediaType").string(),
    digest: node.field("digest").digest(),
    size: node.field("size").size(),
    ...(annotations.isAbsent ? {} : { annotations: annotations.stringMap() }),
    ...(platform.isAbsent ? {} : { platform: readPlatform(platform) }),
  };
}

/** @throws {IntegrityError} `ERR_JSON_TYPE` */
function readPlatform(node: JsonNode): Platform {
  const variant = node.field("variant").optionalString();
  return {
    os: node.field("os").string(),
    architecture: node.field("architecture").string(),
    ...(variant === undefined || variant === "" ? {} : { variant }),
  };
}
