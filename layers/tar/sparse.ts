/**
 * Maps of sparse files: the old GNU header ("S"), and the PAX formats 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse
 * Files"). A map that leaves here is ordered, has no overlaps and no empty extents, lies inside the file, and sums up
 * to the bytes that the archive holds.
 */

import type { Extent } from "./entry.ts";
import { BLOCK_BYTES, readNumber } from "./header.ts";
import { refuse, type TarLimits, type TarPosition } from "./limits.ts";

/** Where the map lies in an old GNU header, and in the blocks that continue it. */
const HEADER_MAP = 386;
const HEADER_EXTENDED = 482;
const HEADER_REAL_SIZE = 483;
const HEADER_REAL_SIZE_END = 495;
const BLOCK_EXTENDED = 504;
const FIELD_BYTES = 12;

const NEWLINE = 0x0a;
const ZERO = 0x30;

/** Collects the extents of one file, checking each. */
export class ExtentList {
  readonly #limits: TarLimits;
  readonly #where: TarPosition;
  readonly #extents: Extent[] = [];
  #count = 0;
  #end = 0;
  #dataBytes = 0;

  constructor(limits: TarLimits, where: TarPosition) {
    this.#limits = limits;
    this.#where = where;
  }

  /** @throws {IntegrityError} `ERR_TAR_SPARSE`, `ERR_TAR_LIMIT` */
  add(offset: number, lengthBytes: number): void {
    this.#count += 1;
    if (this.#count > this.#limits.sparseExtents) {
      const most = this.#limits.sparseExtents;
      throw refuse(this.#where, "ERR_TAR_LIMIT", `its sparse map has more than ${most} extents`);
    }
    if (offset < this.#end) throw refuse(this.#where, "ERR_TAR_SPARSE", "the extents of its sparse map overlap");
    this.#end = offset + lengthBytes;
    if (!Number.isSafeInteger(this.#end)) {
      throw refuse(this.#where, "ERR_TAR_SPARSE", "an extent of its sparse map is too large");
    }
    if (lengthBytes === 0) return; // GNU tar ends its maps so: it says how long the file is, which realsize does too
    this.#dataBytes += lengthBytes;
    this.#extents.push({ offset, lengthBytes });
  }

  /**
   * The map of a file of `realSizeBytes` for which the archive holds `archivedBytes`.
   * @throws {IntegrityError} `ERR_TAR_SPARSE`
   */
  finish(realSizeBytes: number, archivedBytes: number): readonly Extent[] {
    if (this.#end > realSizeBytes) {
      throw refuse(this.#where, "ERR_TAR_SPARSE", `its sparse map goes beyond its size of ${realSizeBytes} bytes`);
    }
    if (this.#dataBytes !== archivedBytes) {
      const state = `its sparse map needs ${this.#dataBytes} bytes and the archive holds ${archivedBytes}`;
      throw refuse(this.#where, "ERR_TAR_SPARSE", state);
    }
    return this.#extents;
  }
}

/** The size that an old GNU sparse header gives the restored file. @throws {IntegrityError} `ERR_TAR_NUMBER` */
export function oldGnuRealSize(block: Buffer, at: number, where: TarPosition): number {
  return readNumber(block, at + HEADER_REAL_SIZE, at + HEADER_REAL_SIZE_END, "real size", where);
}

/** Adds the extents in an old GNU sparse header; true if a block with more of them follows. */
export function addHeaderExtents(block: Buffer, at: number, extents: ExtentList, where: TarPosition): boolean {
  addFields(block, at + HEADER_MAP, at + HEADER_EXTENDED, extents, where);
  return block[at + HEADER_EXTENDED] !== 0;
}

/** Adds the extents in a block that continues an old GNU sparse header; true if another follows. */
export function addBlockExtents(block: Buffer, at: number, extents: ExtentList, where: TarPosition): boolean {
  addFields(block, at, at + BLOCK_EXTENDED, extents, where);
  return block[at + BLOCK_EXTENDED] !== 0;
}

function addFields(block: Buffer, start: number, end: number, extents: ExtentList, where: TarPosition): void {
  for (let i = start; i < end && block[i] !== 0; i += 2 * FIELD_BYTES) {
    const offset = readNumber(block, i, i + FIELD_BYTES, "sparse offset", where);
    extents.add(offset, readNumber(block, i + FIELD_BYTES, i + 2 * FIELD_BYTES, "sparse length", where));
  }
}

/**
 * Reads a PAX 1.0 map, which is the first part of the member's data: decimal numbers, each ended by a newline, the
 * first of them the number of extents, padded with NULs to a whole block.
 */
export class SparseMapParser {
  readonly #extents: ExtentList;
  readonly #where: TarPosition;
  #number = -1;
  #remaining = -1;
  #offset = -1;
  /** How much of the map has been read; a multiple of 512 once `done`. */
  sizeBytes = 0;
  done = false;

  constructor(extents: ExtentList, where: TarPosition) {
    this.#extents = extents;
    this.#where = where;
  }

  /** Takes the bytes of `chunk` from `at` to `end` and returns where the map ended, or `end`. */
  push(chunk: Buffer, at: number, end: number): number {
    const start = at;
    for (; at < end && this.#remaining !== 0; at++) this.#byte(chunk[at] as number);
    this.sizeBytes += at - start;
    if (this.#remaining === 0) {
      const padding = Math.min(-this.sizeBytes & (BLOCK_BYTES - 1), end - at);
      at += padding;
      this.sizeBytes += padding;
      this.done = this.sizeBytes % BLOCK_BYTES === 0;
    }
    return at;
  }

  #byte(byte: number): void {
    if (byte !== NEWLINE) {
      const digit = byte - ZERO;
      const value = Math.max(this.#number, 0) * 10 + digit;
      if (digit < 0 || digit > 9 || !Number.isSafeInteger(value) || (this.#number === 0 && value === 0)) {
        throw refuse(this.#where, "ERR_TAR_SPARSE", "its sparse map holds something that is not a number");
      }
      this.#number = value;
      return;
    }
    if (this.#number < 0) throw refuse(this.#where, "ERR_TAR_SPARSE", "a number is missing in its sparse map");
    this.#take(this.#number);
    this.#number = -1;
  }

  #take(value: number): void {
    if (this.#remaining < 0) this.#remaining = value;
    else if (this.#offset < 0) this.#offset = value;
    else {
      this.#extents.add(this.#offset, value);
      this.#offset = -1;
      this.#remaining -= 1;
    }
  }
}

/** The bytes of a PAX 1.0 map, padded to whole blocks. */
export function encodeSparseMap(extents: readonly Extent[], realSizeBytes: number): Buffer {
  const numbers = extents.flatMap((extent) => [extent.offset, extent.lengthBytes]);
  const last = extents.at(-1);
  // A hole at the end is an empty extent there, as GNU tar writes it.
  if (last === undefined || last.offset + last.lengthBytes < realSizeBytes) numbers.push(realSizeBytes, 0);
  numbers.unshift(numbers.length / 2);
  const text = `${numbers.join("\n")}\n`;
  const map = Buffer.alloc(Math.ceil(text.length / BLOCK_BYTES) * BLOCK_BYTES);
  map.write(text, 0, "latin1");
  return map;
}
