/**
 * The files of an image source by their names in it, whether they lie in a directory or inside an archive, and their
 * contents read with a limit and verified against the digest that names them.
 */

import { type FileHandle, open, stat } from "node:fs/promises";
import { digestOf, hexOf } from "../../src/digest.ts";
import { IntegrityError, isErrno } from "../../src/errors.ts";
import { bytesFromText, bytesOf, display, type HostPath, joinHost, parseLayerPath } from "../../src/paths.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { checkJsonSize } from "../oci/json.ts";
import type { BlobLocation } from "./source.ts";

/** One tar header: enough to tell a tar or a compression. */
const START_BYTES = 512;

/** Where the files of a source are. */
export interface SourceFiles {
  /** The file called `name` ("blobs/sha256/…"), links followed; null if there is none. */
  locate(name: string): Promise<BlobLocation | null>;
}

/** The files below a directory. Symbolic links are followed: what they lead to is verified like anything else. */
export function directoryFiles(directory: HostPath): SourceFiles {
  return {
    async locate(name) {
      const file = joinHost(directory, parseLayerPath(bytesFromText(name)));
      try {
        const found = await stat(bytesOf(file));
        if (!found.isFile()) {
          throw new IntegrityError("ERR_SOURCE_FORMAT", `Cannot read "${display(file)}": it is not a regular file`);
        }
        return { file, offset: 0, sizeBytes: found.size };
      } catch (error) {
        if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
        throw error;
      }
    },
  };
}

/** The name of a blob in a layout. */
export function blobName(descriptor: Pick<Descriptor, "digest">): string {
  return `blobs/sha256/${hexOf(descriptor.digest)}`;
}

/**
 * The content of a JSON file, at most `limitBytes`. `what` is what messages call it ("config").
 * @throws {IntegrityError} `ERR_JSON_SIZE`
 */
export async function readDocument(location: BlobLocation, what: string, limitBytes: number): Promise<Buffer> {
  checkJsonSize(location.sizeBytes, what, limitBytes);
  const handle = await open(bytesOf(location.file));
  try {
    return await readAt(handle, location.offset, location.sizeBytes);
  } finally {
    await handle.close();
  }
}

/** The first bytes of a blob: enough to tell what it is. */
export async function readStart(location: BlobLocation): Promise<Buffer> {
  const handle = await open(bytesOf(location.file));
  try {
    return await readAt(handle, location.offset, Math.min(location.sizeBytes, START_BYTES));
  } finally {
    await handle.close();
  }
}

/** Up to `lengthBytes` at `offset`, fewer only at the end of the file. */
export async function readAt(handle: FileHandle, offset: number, lengthBytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(lengthBytes);
  let done = 0;
  while (done < lengthBytes) {
    const { bytesRead } = await handle.read(buffer, done, lengthBytes - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

/**
 * The content of the JSON blob that `descriptor` names, verified.
 * @throws {IntegrityError} `ERR_BLOB_MISSING`, `ERR_SIZE_MISMATCH`, `ERR_DIGEST_MISMATCH` or `ERR_JSON_SIZE`
 */
export async function readBlob(
  files: SourceFiles,
  descriptor: Descriptor,
  what: string,
  limitBytes: number,
): Promise<Buffer> {
  const bytes = await readDocument(await locateBlob(files, descriptor, what), what, limitBytes);
  checkDigest(bytes, descriptor.digest, what);
  return bytes;
}

/**
 * Where the blob is that `descriptor` names. Its size is right; its digest is not verified.
 * @throws {IntegrityError} `ERR_BLOB_MISSING` or `ERR_SIZE_MISMATCH`
 */
export async function locateBlob(files: SourceFiles, descriptor: Descriptor, what: string): Promise<BlobLocation> {
  const { digest, size } = descriptor;
  const location = await files.locate(blobName(descriptor));
  if (location === null) {
    throw new IntegrityError("ERR_BLOB_MISSING", `Cannot read ${what} "${digest}": the source does not have it`, {
      data: { digest },
    });
  }
  if (location.sizeBytes !== size) {
    const why = `it has ${location.sizeBytes} bytes, its descriptor says ${size}`;
    throw new IntegrityError("ERR_SIZE_MISMATCH", `Cannot use ${what} "${digest}": ${why}`, {
      data: { digest, expected: size, found: location.sizeBytes },
    });
  }
  return location;
}

/** @throws {IntegrityError} `ERR_DIGEST_MISMATCH` */
export function checkDigest(bytes: Uint8Array, digest: Descriptor["digest"], what: string): void {
  const found = digestOf(bytes);
  if (found === digest) return;
  throw new IntegrityError("ERR_DIGEST_MISMATCH", `Cannot use ${what} "${digest}": its bytes have digest ${found}`, {
    data: { expected: digest, found },
  });
}
