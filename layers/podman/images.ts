/** The images of the additional image store: `overlay-images/images.json`, and the documents of each. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type Digest, hexOf } from "../../src/digest.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import type { Image } from "../image.ts";
import type { Store } from "../store.ts";
import { bigDataFile } from "./identity.ts";

/** What `images.json` says of an image (containers/storage, images.go, `Image`). */
export interface ImageRecord {
  readonly id: string;
  readonly digest: string;
  readonly names: readonly string[];
  /** The ID of its topmost layer; none for an image without layers. */
  readonly layer?: string;
  readonly metadata: string;
  readonly "big-data-names": readonly string[];
  readonly "big-data-sizes": Readonly<Record<string, number>>;
  readonly "big-data-digests": Readonly<Record<string, string>>;
  readonly created: string;
}

/**
 * The record of images that have one config, which are one image to podman. Their documents are written, by the names that
 * containers/image looks for, unless a record of `before` has them. `layer`: the topmost layer's ID.
 */
export function imageRecord(
  store: Store,
  root: HostPath,
  images: readonly [Image, ...Image[]],
  layer: string | null,
  before: readonly ImageRecord[],
): ImageRecord {
  const [first] = images;
  const id = hexOf(first.configDigest);
  const blobs = new Map<string, Digest>([
    [first.configDigest, first.configDigest],
    ...images.map(({ digest }) => [`manifest-${digest}`, digest] as const),
    ["manifest", first.digest],
  ]);
  const digests = Object.fromEntries(blobs);
  const known = before.find((record) => record.id === id);
  const isWritten = JSON.stringify(known?.["big-data-digests"]) === JSON.stringify(digests);
  return {
    id,
    digest: first.digest,
    names: images.flatMap(({ references }) => references),
    ...(layer !== null && { layer }),
    metadata: "{}",
    "big-data-names": [...blobs.keys()],
    "big-data-sizes":
      known !== undefined && isWritten ? known["big-data-sizes"] : writeDocuments(store, root, id, blobs),
    "big-data-digests": digests,
    created: first.config.created ?? new Date(first.createdAtMs).toISOString(),
  };
}

/** @returns the size of each */
function writeDocuments(
  store: Store,
  root: HostPath,
  id: string,
  blobs: ReadonlyMap<string, Digest>,
): Readonly<Record<string, number>> {
  const directory = joinHost(root, "overlay-images", id);
  mkdirSync(bytesOf(directory), { recursive: true, mode: 0o700 });
  const sizes: Record<string, number> = {};
  for (const [key, digest] of blobs) {
    const bytes = readFileSync(bytesOf(store.blobs.path(digest)));
    writeFileSync(bytesOf(joinHost(directory, bigDataFile(key))), bytes, { mode: 0o600 });
    sizes[key] = bytes.length;
  }
  return sizes;
}

/** Takes the documents of an image away. */
export function removeImage(root: HostPath, id: string): void {
  rmSync(bytesOf(joinHost(root, "overlay-images", id)), { force: true, recursive: true });
}
