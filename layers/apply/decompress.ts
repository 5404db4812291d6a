/**
 * The uncompressed bytes of a layer blob. The compression is told from the first bytes, never from a media type:
 * gzip (RFC 1952, any number of members), zstd (RFC 8878, any number of frames, skippable ones dropped), or none.
 * zlib inflates on the thread pool, beside the thread that unpacks and hashes.
 */

import { PassThrough, pipeline, Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { IntegrityError, UnsupportedError } from "../../src/errors.ts";
import { zstdFrames } from "./zstd-frames.ts";

/** How the bytes of a layer blob are compressed. */
export type Compression = "none" | "gzip" | "zstd";

/** Measured: 256 KiB pieces inflate twice as fast as the default of 16 KiB; larger ones only cost memory. */
const CHUNK_BYTES = 256 * 1024;

/** Bytes that `sniffCompression` needs, or all there are. */
export const SNIFF_BYTES = 6;

/**
 * Tells the compression from a blob's first `SNIFF_BYTES`.
 * @throws {UnsupportedError} `ERR_COMPRESSION_UNSUPPORTED` for xz and bzip2, which OCI does not have
 */
export function sniffCompression(head: Uint8Array): Compression {
  const magic = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, SNIFF_BYTES)).toString("hex");
  if (magic.startsWith("1f8b")) return "gzip";
  if (magic.startsWith("28b52ffd") || /^5.2a4d18/.test(magic)) return "zstd";
  if (magic.startsWith("fd377a585a00")) throw unsupported("xz");
  if (magic.startsWith("425a68")) throw unsupported("bzip2");
  return "none";
}

function unsupported(name: string): UnsupportedError {
  return new UnsupportedError(
    "ERR_COMPRESSION_UNSUPPORTED",
    `Cannot unpack a layer: it is compressed with ${name}; use gzip, zstd or no compression`,
    { data: { compression: name } },
  );
}

/**
 * Decompresses `source`, in pieces of at most a few hundred KiB. A piece is only valid until the next is asked for.
 * @throws {IntegrityError} `ERR_LAYER_COMPRESSION` if the stream is malformed or cut short
 */
export async function* decompress(
  source: AsyncIterable<Buffer>,
  compression: Compression,
): AsyncGenerator<Buffer, void, void> {
  if (compression === "none") {
    yield* source;
    return;
  }
  const input = compression === "zstd" ? zstdFrames(source) : source;
  let isEmpty = true; // nothing but skippable frames: zlib would call it cut short
  const inflater =
    compression === "gzip"
      ? createGunzip({ chunkSize: CHUNK_BYTES })
      : createZstdDecompress({ chunkSize: CHUNK_BYTES });
  let sourceError: unknown;
  const readable = Readable.from(
    (async function* () {
      try {
        for await (const piece of input) {
          isEmpty = false;
          yield piece;
        }
      } catch (error) {
        sourceError = error; // told apart from what zlib says of the bytes
        throw error;
      }
    })(),
    { objectMode: false, highWaterMark: 1 << 20 },
  );
  const output = pipeline(readable, inflater, new PassThrough({ readableHighWaterMark: 4 * CHUNK_BYTES }), () => {
    // the error reaches the loop below through the destroyed stream
  });
  try {
    for await (const chunk of output as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    if (sourceError !== undefined) throw sourceError;
    if (isEmpty && compression === "zstd") return;
    throw new IntegrityError(
      "ERR_LAYER_COMPRESSION",
      `Cannot decompress the layer: ${error instanceof Error ? error.message : String(error)} (${compression})`,
      { cause: error },
    );
  }
}
