/**
 * The digest of a sparse file that costs what its data costs: sha256 over every block of 64 KiB that is not all zeros, in
 * order, each after its number in the file, and then the size (both 64 bits, little-endian). Two files have the same digest if, and only if, a reader sees the same bytes: which of
 * their zeros are holes does not matter, because a copy of the store may have others.
 */

import { createHash } from "node:crypto";

const BLOCK_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** Takes a file's data in order, `finish` gives the digest. */
export class SparseHash {
  readonly #hash = createHash("sha256");
  readonly #sizeBytes: number;
  readonly #block: Buffer;
  readonly #number = Buffer.alloc(8);
  /** Which block `#block` is. */
  #at = 0;

  /** For a file of `sizeBytes`. */
  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
    this.#block = Buffer.alloc(Math.min(BLOCK_BYTES, sizeBytes));
  }

  /** The next data, at `offset` of the file, behind what came before. */
  update(bytes: Buffer, offset: number): void {
    for (let done = 0; done < bytes.length; ) {
      const position = offset + done;
      const index = Math.floor(position / BLOCK_BYTES);
      if (index !== this.#at) this.#next(index);
      done += bytes.copy(this.#block, position % BLOCK_BYTES, done);
    }
  }

  /** The digest as a byte string of 32 bytes. */
  finish(): string {
    this.#next(0);
    this.#put(this.#sizeBytes);
    return this.#hash.digest("binary");
  }

  #next(index: number): void {
    const block = this.#block.subarray(0, this.#sizeBytes - this.#at * BLOCK_BYTES); // the last is shorter
    if (block.compare(ZEROS, 0, block.length) !== 0) {
      this.#put(this.#at);
      this.#hash.update(block);
      block.fill(0);
    }
    this.#at = index;
  }

  #put(value: number): void {
    this.#number.writeBigUInt64LE(BigInt(value));
    this.#hash.update(this.#number);
  }
}
