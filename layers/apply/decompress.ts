/**
 * The uncompressed bytes of a layer blob. The compression is told from the first bytes, never from a media type:
 * gzip (RFC 1952, any number of members), zstd (RFC 8878, any number of frames, skippable ones dropped), or none.
 * zlib inflates on the thread pool, beside the thread that unpacks and hashes.
 */

import type { Transform } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { IntegrityError, UnsupportedError } from "../../src/errors.ts";
import { zstdFrames } from "./zstd-frames.ts";

/** How the bytes of a layer blob are compressed. */
export type Compression = "none" | "gzip" | "zstd";

/** Measured: 256 KiB pieces inflate twice as fast as the default of 16 KiB; larger ones only cost memory. */
const CHUNK_BYTES = 256 * 1024;
/** Inflated ahead of who unpacks, whose pieces take now more time and now less than inflating the next. */
const READ_AHEAD_BYTES = 8 * CHUNK_BYTES;

/** Bytes that `sniffCompression` needs, or all there are. */
export const SNIFF_BYTES = 10;

/**
 * Tells the compression from the first `SNIFF_BYTES` of `subject`, as messages call it.
 * @throws {UnsupportedError} `ERR_COMPRESSION_UNSUPPORTED` for xz and bzip2, which OCI does not have
 */
export function sniffCompression(head: Uint8Array, subject = "the layer"): Compression {
  const magic = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, SNIFF_BYTES)).toString("hex");
  if (magic.startsWith("1f8b")) return "gzip";
  if (magic.startsWith("28b52ffd") || /^5.2a4d18/.test(magic)) return "zstd";
  if (magic.startsWith("fd377a585a00")) throw unsupported("xz", subject);
  // With the mark of its first block, or of its end: "BZh" alone may begin the name of a tar's first member.
  if (/^425a683[1-9](314159265359|177245385090)/.test(magic)) throw unsupported("bzip2", subject);
  return "none";
}

function unsupported(name: string, subject: string): UnsupportedError {
  return new UnsupportedError(
    "ERR_COMPRESSION_UNSUPPORTED",
    `Cannot decompress ${subject}: it is compressed with ${name}; use gzip, zstd or no compression`,
    { data: { compression: name } },
  );
}

/**
 * Frees the memory of a piece that has been used up. Left to the garbage collector, which sees only small objects, the
 * pieces of a layer pile up to 60 MiB a thread. A piece that shares its memory with a later one is left alone.
 */
export function release(piece: Buffer): void {
  const memory = piece.buffer as ArrayBuffer;
  if (piece.byteOffset + piece.length === memory.byteLength && piece.length > Buffer.poolSize) memory.transfer(0);
}

/**
 * Decompresses `source`, in pieces of at most a few hundred KiB. A piece is only valid until the next is asked for.
 * @throws {IntegrityError} `ERR_LAYER_COMPRESSION` if the stream is malformed or cut short
 */
export async function* decompress(
  source: AsyncIterable<Buffer>,
  compression: Compression,
  subject = "the layer",
): AsyncGenerator<Buffer, void, void> {
  if (compression === "none") {
    yield* source;
    return;
  }
  const options = { chunkSize: CHUNK_BYTES, readableHighWaterMark: READ_AHEAD_BYTES };
  const inflater = compression === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  const feeding = feed(compression === "zstd" ? zstdFrames(source, subject) : source, inflater);
  try {
    yield* inflater as AsyncIterable<Buffer>;
  } catch (error) {
    const { sourceError, isEmpty } = await feeding;
    if (sourceError !== undefined) throw sourceError;
    if (isEmpty && compression === "zstd") return; // nothing but skippable frames, which zlib calls cut short
    throw new IntegrityError(
      "ERR_LAYER_COMPRESSION",
      `Cannot decompress ${subject}: ${error instanceof Error ? error.message : String(error)} (${compression})`,
      { cause: error },
    );
  } finally {
    inflater.destroy();
    await feeding;
  }
}

/** Writes `input` to `inflater`, one piece at a time, freeing each. Never rejects: tells what the source did instead. */
async function feed(
  input: AsyncIterable<Buffer>,
  inflater: Transform,
): Promise<{ readonly sourceError: unknown; readonly isEmpty: boolean }> {
  let isEmpty = true;
  let stopped = (): void => undefined;
  inflater.once("close", () => stopped()); // a destroyed stream forgets the callbacks of its writes
  try {
    for await (const piece of input) {
      isEmpty = false;
      const failed = await new Promise<boolean>((resolve) => {
        stopped = () => resolve(true);
        if (inflater.destroyed) resolve(true);
        inflater.write(piece, (error) => resolve(error !== null && error !== undefined));
      });
      if (failed) return { sourceError: undefined, isEmpty }; // the reader of `inflater` sees why
      release(piece);
    }
    inflater.end();
    return { sourceError: undefined, isEmpty };
  } catch (error) {
    inflater.destroy(error instanceof Error ? error : undefined);
    return { sourceError: error, isEmpty };
  }
}
