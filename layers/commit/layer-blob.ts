/**
 * From a diff to a layer blob in one pass: read, tar, hash, compress, hash, store. Reading and both hashes are in this
 * thread; compressing is on the thread pool, beside them.
 */

import { createHash } from "node:crypto";
import { type DiffId, digestOfHex } from "../../src/digest.ts";
import type { BlobStore, BlobWriter } from "../content/blob-store.ts";
import type { LayerDiff } from "../diff/change.ts";
import { type LayerTarOptions, writeLayerTar } from "../diff/layer-tar.ts";
import { BlockCompressor, type Compression } from "./compress.ts";

/** A layer whose bytes are written and not yet stored. Disposing it before `writer` is stored leaves nothing. */
export interface LayerBlob extends AsyncDisposable {
  readonly diffId: DiffId;
  /** Of the uncompressed tar. */
  readonly tarBytes: number;
  readonly writer: BlobWriter;
}

/** Writes the layer of a diff. @throws as `writeLayerTar` */
export async function writeLayerBlob(
  blobs: BlobStore,
  diff: LayerDiff,
  compression: Compression,
  options: LayerTarOptions,
): Promise<LayerBlob> {
  const writer = await blobs.create();
  try {
    const hash = createHash("sha256");
    const tarBytes = await writeCompressed(diff, compression, writer, hash, options);
    return {
      diffId: digestOfHex(hash.digest("hex")) as DiffId,
      tarBytes,
      writer,
      [Symbol.asyncDispose]: () => writer[Symbol.asyncDispose](),
    };
  } catch (error) {
    await writer[Symbol.asyncDispose]();
    throw error;
  }
}

async function writeCompressed(
  diff: LayerDiff,
  compression: Compression,
  writer: BlobWriter,
  hash: ReturnType<typeof createHash>,
  options: LayerTarOptions,
): Promise<number> {
  await using compressor = new BlockCompressor(compression, (bytes) => writer.write(bytes));
  const sink = {
    take: () => compressor.take(),
    write: (chunk: Buffer) => {
      const written = compressor.write(chunk); // first, so that the pool has work while this thread hashes
      hash.update(chunk);
      return written;
    },
  };
  const tarBytes = await writeLayerTar(diff, sink, options);
  await compressor.finish();
  return tarBytes;
}
