/** Blobs on their way out of the store: checked for their size, counted for the progress bar. */

import { type FileHandle, open } from "node:fs/promises";
import { IntegrityError, isErrno } from "../../src/errors.ts";
import { bytesOf } from "../../src/paths.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { WriteOptions } from "./saved-image.ts";

/**
 * Opens a blob's file. The caller closes it.
 * @throws {IntegrityError} `ERR_BLOB_MISSING` or `ERR_SIZE_MISMATCH`
 */
export async function openBlob({ digest, size }: Descriptor, { blobPath }: WriteOptions): Promise<FileHandle> {
  const handle = await openFile(digest, blobPath);
  const found = (await handle.stat()).size;
  if (found === size) return handle;
  await handle.close();
  throw new IntegrityError("ERR_SIZE_MISMATCH", `Cannot save blob "${digest}": it has ${found} bytes, not ${size}`, {
    data: { digest, expected: size, found },
  });
}

async function openFile(digest: Descriptor["digest"], blobPath: WriteOptions["blobPath"]): Promise<FileHandle> {
  try {
    return await open(bytesOf(blobPath(digest)));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    throw new IntegrityError("ERR_BLOB_MISSING", `Cannot save blob "${digest}": its file is not in the store`, {
      data: { digest },
      cause: error,
    });
  }
}

/** Counts bytes for `onProgress`. */
export class SaveCounter {
  readonly #options: WriteOptions;
  readonly #totalBytes: number;
  #doneBytes = 0;

  constructor(blobs: readonly Descriptor[], options: WriteOptions) {
    this.#options = options;
    this.#totalBytes = blobs.reduce((total, blob) => total + blob.size, 0);
  }

  /** @throws the signal's reason once it is aborted */
  add(bytes: number): void {
    this.#options.signal?.throwIfAborted();
    this.#doneBytes += bytes;
    this.#options.onProgress?.({ doneBytes: this.#doneBytes, totalBytes: this.#totalBytes });
  }
}
