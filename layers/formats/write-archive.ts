/**
 * Writes an OCI archive or a docker-archive: one tar with the files of an OCI layout, and for docker `manifest.json`
 * beside them. The same images give the same bytes: fixed order, modes and owners, and the times are 0.
 */

import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { type Header, type Pack, pack } from "tar-stream";
import { bytesOf, type HostPath } from "../../src/paths.ts";
import { syncDirectory } from "../../src/sys/sync.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { openBlob, SaveCounter } from "./blob-copy.ts";
import { type Destination, destinationAt, onto } from "./destination.ts";
import {
  blobsOf,
  encodeDockerManifest,
  encodeIndex,
  indexEntries,
  LAYOUT_HEADER,
  type SavedImage,
  type WriteOptions,
} from "./saved-image.ts";
import { blobName } from "./source-files.ts";

const PIECE_BYTES = 1 << 20;
const EPOCH = new Date(0);

export type ArchiveFormat = "oci-archive" | "docker-archive";

/**
 * Writes the archive to `destination`, which is replaced when all is written: until then it is as it was. A device or
 * pipe is written to as it is.
 * @throws what `destinationAt` throws
 * @throws {IntegrityError} `ERR_BLOB_MISSING` or `ERR_SIZE_MISMATCH`
 */
export async function writeArchiveFile(
  images: readonly SavedImage[],
  format: ArchiveFormat,
  destination: HostPath,
  options: WriteOptions,
): Promise<void> {
  const place = destinationAt(destination);
  try {
    if (place.kind === "replaced") await writeBeside(images, format, place, options);
    else await writeArchive(images, format, createWriteStream(bytesOf(place.path), { flags: "w" }), options);
  } catch (error) {
    throw onto(place, error);
  }
}

async function writeBeside(
  images: readonly SavedImage[],
  format: ArchiveFormat,
  { temporary, path, directory, mode }: Extract<Destination, { kind: "replaced" }>,
  options: WriteOptions,
): Promise<void> {
  try {
    const handle = await open(bytesOf(temporary), "wx", mode);
    await writeArchive(images, format, handle.createWriteStream({ flush: true, highWaterMark: PIECE_BYTES }), options);
    await rename(bytesOf(temporary), bytesOf(path));
  } catch (error) {
    await rm(bytesOf(temporary), { force: true });
    throw error;
  }
  syncDirectory(directory);
}

/** Writes the archive to `output`, and ends it. */
export async function writeArchive(
  images: readonly SavedImage[],
  format: ArchiveFormat,
  output: NodeJS.WritableStream,
  options: WriteOptions,
): Promise<void> {
  const blobs = blobsOf(images);
  const archive = pack({ highWaterMark: PIECE_BYTES });
  const written = pipeline(archive as unknown as NodeJS.ReadableStream, output);
  const filled = fill(archive, images, format, blobs, options).catch((error: unknown) => {
    archive.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  });
  // An error on either side ends the other; both are done with the file before it is reported. What fails to be filled
  // reaches the output too, but one that is closed looks to the filler like an archive that was ended.
  for (const result of await Promise.allSettled([written, filled])) {
    if (result.status === "rejected") throw result.reason;
  }
}

async function fill(
  archive: Pack,
  images: readonly SavedImage[],
  format: ArchiveFormat,
  blobs: readonly Descriptor[],
  options: WriteOptions,
): Promise<void> {
  await addFile(archive, "oci-layout", Buffer.from(LAYOUT_HEADER));
  await addFile(archive, "index.json", encodeIndex(indexEntries([], images)));
  if (format === "docker-archive") await addFile(archive, "manifest.json", encodeDockerManifest(images));
  for (const name of ["blobs/", "blobs/sha256/"])
    await addMember(archive, { name, type: "directory", mode: 0o755 }, []);
  const counter = new SaveCounter(blobs, options);
  for (const blob of blobs) await addBlob(archive, blob, counter, options);
  archive.finalize();
}

async function addFile(archive: Pack, name: string, bytes: Buffer): Promise<void> {
  await addMember(archive, { name, mode: 0o644, size: bytes.length }, [bytes]);
}

async function addBlob(archive: Pack, blob: Descriptor, counter: SaveCounter, options: WriteOptions): Promise<void> {
  await using handle = await openBlob(blob, options);
  const stream = handle.createReadStream({ highWaterMark: PIECE_BYTES, autoClose: false });
  const counted = (async function* () {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      counter.add(chunk.length);
      yield chunk;
    }
  })();
  await addMember(archive, { name: blobName(blob), mode: 0o644, size: blob.size }, counted);
}

/** Resolves when the archive has taken all of the member; rejects when it cannot. */
async function addMember(
  archive: Pack,
  header: Partial<Header> & Pick<Header, "name">,
  body: AsyncIterable<Buffer> | readonly Buffer[],
): Promise<void> {
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  const owned = { ...header, uid: 0, gid: 0, mtime: EPOCH };
  const sink = archive.entry(owned, (error) => (error ? reject(error) : resolve()));
  sink.on("error", reject);
  done.catch(() => undefined); // awaited below, unless reading the body fails first
  for await (const chunk of body) {
    if (!sink.write(chunk)) await Promise.race([once(sink, "drain"), done]);
  }
  sink.end(undefined);
  await done;
}
