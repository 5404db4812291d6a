/**
 * Splits a zstd stream at its frame boundaries (RFC 8878, section 3.1), because node's decompressor drops what follows
 * the end of a frame in the same write. Skippable frames (zstd:chunked puts its table of contents in them) are left
 * out. Only headers are read here; the decompressor checks the contents.
 */

import { IntegrityError } from "../../src/errors.ts";

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50; // to …5f
const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

/** What the next bytes are, and how many of them are still to come. */
type Expecting =
  | { readonly what: "magic" | "descriptor" | "header" | "block" | "skip-size" | "checksum"; readonly bytes: number }
  | { readonly what: "content" | "skip"; bytes: number };

const MAGIC: Expecting = { what: "magic", bytes: 4 };

/**
 * The same bytes, cut so that no piece holds parts of two frames, without skippable frames.
 * @throws {IntegrityError} `ERR_LAYER_COMPRESSION` if the stream is malformed or ends inside a frame
 */
export async function* zstdFrames(source: AsyncIterable<Buffer>, subject: string): AsyncGenerator<Buffer, void, void> {
  const splitter = new FrameSplitter(subject);
  for await (const chunk of source) yield* splitter.split(chunk);
  splitter.finish();
}

class FrameSplitter {
  readonly #subject: string;
  #expecting: Expecting = MAGIC;
  /** A header that began in an earlier chunk. */
  #partial: Buffer = Buffer.alloc(0);
  #hasChecksum = false;
  #lastBlock = false;

  constructor(subject: string) {
    this.#subject = subject;
  }

  *split(chunk: Buffer): Generator<Buffer, void, void> {
    let frameStart = this.#expecting.what === "skip" || this.#expecting.what === "skip-size" ? -1 : 0;
    let at = 0;
    while (at < chunk.length) {
      const expecting = this.#expecting;
      if (expecting.what === "content" || expecting.what === "skip") {
        const step = Math.min(expecting.bytes, chunk.length - at);
        expecting.bytes -= step;
        at += step;
        if (expecting.bytes > 0) break;
        if (expecting.what === "skip") {
          frameStart = at;
          this.#expecting = MAGIC;
          continue;
        }
        this.#expecting = this.#afterBlock();
      } else {
        const begun = this.#partial.length;
        const needed = expecting.bytes - begun;
        const field = Buffer.concat([this.#partial, chunk.subarray(at, at + needed)]);
        const fieldStart = at;
        at += Math.min(needed, chunk.length - at);
        if (field.length < expecting.bytes) {
          this.#partial = field;
          // A magic number is held back until it is whole: it may be a skippable frame's.
          if (expecting.what === "magic") {
            if (frameStart >= 0 && fieldStart > frameStart) yield chunk.subarray(frameStart, fieldStart);
            return;
          }
          break;
        }
        this.#partial = Buffer.alloc(0);
        if (expecting.what === "magic") {
          if (this.#beginFrame(field.readUInt32LE(0))) {
            frameStart = at;
            yield field;
          } else frameStart = -1;
          continue;
        }
        this.#expecting = this.#afterField(expecting.what, field);
      }
      if (this.#expecting === MAGIC) {
        if (frameStart >= 0) yield chunk.subarray(frameStart, at);
        frameStart = at;
      }
    }
    if (frameStart >= 0 && at > frameStart) yield chunk.subarray(frameStart, at);
  }

  finish(): void {
    if (this.#expecting !== MAGIC || this.#partial.length > 0) throw this.#malformed("it ends inside a frame");
  }

  /** True for a frame with content; false for a skippable one. */
  #beginFrame(magic: number): boolean {
    if (magic === FRAME_MAGIC) {
      this.#expecting = { what: "descriptor", bytes: 1 };
      return true;
    }
    if ((magic & 0xfffffff0) >>> 0 !== SKIPPABLE_MAGIC)
      throw this.#malformed("there is something else between its frames");
    this.#expecting = { what: "skip-size", bytes: 4 };
    return false;
  }

  #afterField(what: "descriptor" | "header" | "block" | "skip-size" | "checksum", field: Buffer): Expecting {
    switch (what) {
      case "skip-size": {
        const bytes = field.readUInt32LE(0);
        return bytes === 0 ? MAGIC : { what: "skip", bytes };
      }
      case "descriptor":
        return this.#afterDescriptor(field.readUInt8(0));
      case "header":
        return { what: "block", bytes: 3 };
      case "checksum":
        return MAGIC;
      case "block": {
        const header = field.readUIntLE(0, 3);
        const type = (header >> 1) & 3;
        if (type === BLOCK_RESERVED) throw this.#malformed("a block has the reserved type");
        this.#lastBlock = (header & 1) === 1;
        const bytes = type === BLOCK_RLE ? 1 : header >> 3;
        return bytes === 0 ? this.#afterBlock() : { what: "content", bytes };
      }
    }
  }

  #afterDescriptor(descriptor: number): Expecting {
    const singleSegment = (descriptor & 0x20) !== 0;
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    const contentSizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
    const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
    const bytes = (singleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
    return { what: "header", bytes };
  }

  #afterBlock(): Expecting {
    if (!this.#lastBlock) return { what: "block", bytes: 3 };
    return this.#hasChecksum ? { what: "checksum", bytes: 4 } : MAGIC;
  }

  #malformed(why: string): IntegrityError {
    const message = `Cannot decompress ${this.#subject}: the zstd stream is malformed: ${why}`;
    return new IntegrityError("ERR_LAYER_COMPRESSION", message);
  }
}
