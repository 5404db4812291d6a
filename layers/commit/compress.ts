/**
 * Compresses a layer on all cores into bytes that depend on nothing but the input: it is cut into blocks of one size,
 * each is compressed on its own on libuv's thread pool, and the results are joined in order. The compressors are as many
 * on every machine, and block after block goes to the next: what is left of a compressor's output buffer can show in its
 * bytes (deflate repeats a flush marker that does not fit), so each must see the same blocks each time.
 *
 * gzip (RFC 1952): one member. Every block is a raw deflate stream that ends with a sync flush, so they join at a byte
 * (as pigz does), with crc32 and size over the whole at the end. The header has no name, no time and no system. Level 1,
 * because a commit waits for it: on 80 MB of a Debian root it runs twice as fast as level 6 (177 against 90 MB/s on two
 * cores) and makes 7 % more. zstd (RFC 8878): a frame a block with a checksum, level 3, where both are best: faster than
 * gzip (458 MB/s) and smaller than its level 6.
 */

import { constants, crc32, createDeflateRaw, createZstdCompress, type DeflateRaw, type ZstdCompress } from "node:zlib";

import { newChunk } from "../diff/tar-stream-writer.ts";

export type Compression = "gzip" | "zstd" | "none";

export const COMPRESSIONS: readonly Compression[] = ["gzip", "zstd", "none"];

/** One way of compressing blocks. */
interface Codec {
  readonly blockBytes: number;
  readonly header: Buffer;
  /** A compressor that ends every write where another's output can follow; null to leave the blocks as they are. */
  readonly open: (() => DeflateRaw | ZstdCompress) | null;
  /** What ends the stream, when all of it has passed. */
  trailer(crc: number, sizeBytes: number): Buffer;
}

const MIB = 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const GZIP_LEVEL = 1;
const ZSTD_LEVEL = 3;
/** Compressors, and the threads of libuv's pool. Part of the format: another number may give other bytes. */
const LANES = 4;
/** Blocks in work at once: one more than there are compressors, so that none waits for the reader. */
const IN_WORK = LANES + 1;
/** How much of its output a compressor keeps until it is asked for: all of a block. */
const readableHighWaterMark = 16 * MIB;

const gzip: Codec = {
  blockBytes: MIB,
  header: Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255]), // deflate; no flags, no time; fastest; unknown system
  open: () => {
    const memLevel = 9; // a sixth faster than 8
    const flush = constants.Z_SYNC_FLUSH;
    const options = { level: GZIP_LEVEL, memLevel, chunkSize: 2 * MIB, flush, readableHighWaterMark };
    return createDeflateRaw(options);
  },
  trailer: (crc, sizeBytes) => {
    const trailer = Buffer.from([0x03, 0x00, 0, 0, 0, 0, 0, 0, 0, 0]); // an empty last block
    trailer.writeUInt32LE(crc, 2);
    trailer.writeUInt32LE(sizeBytes % 2 ** 32, 6);
    return trailer;
  },
};

const zstd: Codec = {
  blockBytes: 4 * MIB,
  header: NOTHING,
  open: () => {
    const params = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL, [constants.ZSTD_c_checksumFlag]: 1 };
    const options = { params, chunkSize: 4 * MIB, flush: constants.ZSTD_e_end, readableHighWaterMark };
    return createZstdCompress(options);
  },
  trailer: () => NOTHING,
};

const none: Codec = { blockBytes: MIB, header: NOTHING, open: null, trailer: () => NOTHING };

const CODECS: Readonly<Record<Compression, Codec>> = { gzip, zstd, none };

/** A compressor that is used again: a new one for every block would cost the garbage collector as much as the work. */
class Lane {
  readonly #stream: DeflateRaw | ZstdCompress;
  #last: Promise<unknown> = Promise.resolve();

  constructor(stream: DeflateRaw | ZstdCompress) {
    this.#stream = stream;
    stream.on("error", () => {}); // the write that failed tells
  }

  /** Compresses a block after those before it. */
  compress(block: Buffer): Promise<Buffer> {
    const result = this.#last.then(() => this.#write(block));
    this.#last = result.catch(() => {});
    return result;
  }

  close(): void {
    this.#stream.close();
  }

  #write(block: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#stream.write(block, (error) => {
        if (error) return reject(error);
        const compressed: Buffer | null = this.#stream.read();
        if ("reset" in this.#stream) this.#stream.reset(); // deflate would look back into the block before
        resolve(compressed ?? NOTHING);
      });
    });
  }
}

/** A stream of blocks, compressed. Dispose it: what is in work then ends before the promise is fulfilled. */
export class BlockCompressor implements AsyncDisposable {
  readonly #codec: Codec;
  readonly #output: (bytes: Buffer) => Promise<void>;
  readonly #inWork: Promise<Buffer>[] = [];
  /** Blocks that are done with: a new one would cost as much in page faults as reading it full. */
  readonly #free: Buffer[] = [];
  /** Made when a block is the first for one: most layers are a block. */
  readonly #lanes: Lane[] = [];
  #next = 0;
  #crc = 0;
  #sizeBytes = 0;

  /** `output` gets the compressed bytes in order, one call at a time. */
  constructor(compression: Compression, output: (bytes: Buffer) => Promise<void>) {
    this.#codec = CODECS[compression];
    this.#output = output;
  }

  /** A block to fill. */
  take(): Buffer {
    return this.#free.pop() ?? newChunk(this.#codec.blockBytes);
  }

  /** Takes over a block, which is full unless it is the last; waits while enough are in work. */
  async write(block: Buffer): Promise<void> {
    if (this.#sizeBytes === 0) await this.#output(this.#codec.header);
    this.#sizeBytes += block.length;
    if (this.#codec === gzip) this.#crc = crc32(block, this.#crc);
    this.#inWork.push(this.#compress(block));
    if (this.#inWork.length >= IN_WORK) await this.#outputOldest();
  }

  /** Fulfilled when everything is with `output`. At least one block must have been written. */
  async finish(): Promise<void> {
    while (this.#inWork.length > 0) await this.#outputOldest();
    await this.#output(this.#codec.trailer(this.#crc, this.#sizeBytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#inWork.splice(0));
    for (const lane of this.#lanes) lane.close();
  }

  async #compress(block: Buffer): Promise<Buffer> {
    const { open } = this.#codec;
    if (open === null) return block;
    const at = this.#next++ % LANES;
    this.#lanes[at] ??= new Lane(open());
    const compressed = await this.#lanes[at].compress(block);
    this.#release(block);
    return compressed;
  }

  async #outputOldest(): Promise<void> {
    const oldest = this.#inWork[0];
    if (oldest === undefined) return;
    const compressed = await oldest; // still in the list while it is waited for: a failure is seen there too
    this.#inWork.shift();
    await this.#output(compressed);
    if (this.#codec.open === null) this.#release(compressed); // it is the block itself
  }

  #release(block: Buffer): void {
    if (block.length === this.#codec.blockBytes) this.#free.push(block);
  }
}
