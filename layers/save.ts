/** Save: images of the store as files that other tools read. Every blob goes out as it is, so every digest stays. */

import { statSync } from "node:fs";
import { ConflictError, UsageError, whileWriting } from "../src/errors.ts";
import { bytesOf, hostPath } from "../src/paths.ts";
import type { SavedImage, SaveProgress, WriteOptions } from "./formats/saved-image.ts";
import { writeArchive, writeArchiveFile } from "./formats/write-archive.ts";
import { writeLayout } from "./formats/write-layout.ts";
import { type Image, imageOfRow } from "./image.ts";
import { acquireLock } from "./locks.ts";
import { findImage } from "./resolve-image.ts";
import type { Store } from "./store.ts";

export const SAVE_FORMATS = ["oci-archive", "oci-layout", "docker-archive"] as const;
export type SaveFormat = (typeof SAVE_FORMATS)[number];

/** What `destination` is for if nothing else is said: a directory, there or named with a slash at its end, is a layout. */
export function defaultSaveFormat(destination: string): SaveFormat {
  const there = statSync(bytesOf(hostPath(destination)), { throwIfNoEntry: false });
  return destination.endsWith("/") || there?.isDirectory() ? "oci-layout" : "oci-archive";
}

export interface SaveOptions {
  /** A file, a directory for oci-layout, or "-" for `output`. */
  readonly destination: string;
  readonly format: SaveFormat;
  /** What "-" writes to. */
  readonly output?: NodeJS.WriteStream | NodeJS.WritableStream;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SaveProgress) => void;
}

/**
 * Saves the images that `names` mean, under the references that were given; an image given by its digest has none. A
 * file is replaced when all is written; a layout that is there is added to.
 * @throws {NotFoundError} `ERR_IMAGE_NOT_FOUND`
 * @throws {ConflictError} `ERR_DESTINATION_EXISTS`
 * @throws {UsageError} `ERR_DESTINATION` for a layout or a terminal as standard output, or no destination
 * @throws {NotFoundError} `ERR_DESTINATION_PARENT`
 * @throws {IntegrityError} `ERR_BLOB_MISSING` or `ERR_SIZE_MISMATCH`
 */
export async function saveImages(store: Store, names: readonly string[], options: SaveOptions): Promise<void> {
  const { destination, format, signal, onProgress } = options;
  await using _gc = await acquireLock(store.layout, "gc", "shared", signal === undefined ? {} : { signal });
  const images = imagesToSave(store, names);
  const write: WriteOptions = { blobPath: (digest) => store.blobs.path(digest), signal, onProgress };
  if (destination === "-") {
    const { output } = options;
    if (output === undefined) throw notToStdout("no output is given");
    if (format === "oci-layout")
      throw notToStdout("an OCI layout is a directory; choose oci-archive or docker-archive");
    if ("isTTY" in output && output.isTTY) throw notToStdout("it is a terminal; redirect it, or name a file with -o");
    await writeArchive(images, format, output, write).catch((error) => {
      throw whileWriting("standard output", error);
    });
  } else if (destination === "") throw new UsageError("ERR_DESTINATION", 'Cannot save to "": it is no name');
  else if (format === "oci-layout") await writeLayout(images, hostPath(destination), write);
  else await writeArchiveFile(images, format, hostPath(destination), write);
}

function imagesToSave(store: Store, names: readonly string[]): readonly SavedImage[] {
  const saved = new Map<string, SavedImage>();
  for (const name of names) {
    const { row, reference } = findImage(store, name);
    const before = saved.get(row.digest) ?? savedImage(store, imageOfRow(store, row));
    const references = reference === null ? before.references : [...before.references, reference];
    saved.set(row.digest, { ...before, references: [...new Set(references)] });
  }
  return [...saved.values()];
}

function savedImage(store: Store, image: Image): SavedImage {
  const { digest, mediaType, manifest, platform } = image;
  const size = store.blobs.sizeOf(digest);
  if (size === null) {
    throw new ConflictError("ERR_IMAGE_REMOVED", `Cannot save image "${digest}": it was removed meanwhile`);
  }
  return {
    references: [],
    manifest: { mediaType, digest, size },
    config: manifest.config,
    layers: manifest.layers,
    platform,
  };
}

function notToStdout(why: string): UsageError {
  return new UsageError("ERR_DESTINATION", `Cannot save to standard output: ${why}`);
}
