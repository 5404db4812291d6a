/**
 * Reads a layer tar: a synchronous parser that is pushed chunks of any size and calls a handler. File content is handed
 * on as parts of those chunks, never copied; a header that lies within a chunk is parsed in place. Formats: v7, ustar,
 * GNU, star, PAX and their sparse files (header.ts, pax.ts, sparse.ts, member.ts say what is read how).
 *
 * Invariant: for each entry the handler gets `entry`, then its data in order and in full, then `end`; never data beyond
 * `sizeBytes`, never anything after an error.
 */

import type { Extent, TarEntry } from "./entry.ts";
import { BLOCK_BYTES, Header, parseHeader } from "./header.ts";
import { DEFAULT_TAR_LIMITS, refuse, type TarErrorCode, type TarLimits, type TarPosition } from "./limits.ts";
import { assembleMember, type Member, withExtents } from "./member.ts";
import { applyPax, PaxFields } from "./pax.ts";
import { addBlockExtents, SparseMapParser } from "./sparse.ts";

/** Called in the order of the archive. What it throws leaves `push`, and the reader is then of no further use. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  /** Content at `offset` of the restored file. `bytes` are valid only during the call. Holes are not delivered. */
  data(bytes: Buffer, offset: number): void;
  /** All of the entry's content has been delivered. */
  end(): void;
}

type State =
  | "header" // a header block, or one of zeros
  | "extension" // the body of a PAX or GNU long name header
  | "sparse-block" // a block that continues an old GNU sparse map
  | "sparse-map" // a PAX 1.0 map
  | "data"
  | "skip" // bytes that say nothing: padding, the list of a dumpdir, a volume label
  | "ended";

const PAX = 0x78;
const PAX_GLOBAL = 0x67;
const GNU_LONG_NAME = 0x4c;
const GNU_LONG_LINK = 0x4b;
const GNU_LABEL = 0x56;

/** `new TarReader(handler)`, `push` each chunk, `finish`. */
export class TarReader {
  readonly #handler: TarHandler;
  readonly #limits: TarLimits;
  readonly #where: TarPosition = { name: "", offset: 0 };
  readonly #header = new Header();
  /** A block that lies in several chunks. */
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #blockFilled = 0;
  #state: State = "header";
  /** Bytes of the archive before the current chunk. */
  #consumed = 0;
  /** Bytes of the current body, data or skip that have not been seen. */
  #remaining = 0;
  /** How many of the bytes to skip are padding, which may be missing at the end. */
  #padding = 0;
  #zeroBlocks = 0;

  #globalPax: PaxFields | null = null;
  #pax: PaxFields | null = null;
  #longName: string | null = null;
  #longLink: string | null = null;
  #extensionCount = 0;
  #body: Buffer | null = null;
  #bodySize = 0;

  #member: Member | null = null;
  #mapParser: SparseMapParser | null = null;
  #extents: readonly Extent[] | null = null;
  #extentIndex = 0;
  /** Position in the restored file, or in the current extent. */
  #position = 0;

  constructor(handler: TarHandler, limits: TarLimits = DEFAULT_TAR_LIMITS) {
    this.#handler = handler;
    this.#limits = limits;
  }

  /**
   * Reads the next bytes of the archive. Keeps no reference to `chunk`. What follows the end marker is not looked at.
   * @throws {IntegrityError} with a `TarErrorCode`
   */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      switch (this.#state) {
        case "header":
        case "sparse-block":
          at = this.#pushBlock(chunk, at);
          break;
        case "data":
          at = this.#pushData(chunk, at);
          break;
        case "skip":
          at = this.#pushSkip(chunk, at);
          break;
        case "extension":
          at = this.#pushExtension(chunk, at);
          break;
        case "sparse-map":
          at = this.#pushMap(chunk, at);
          break;
        case "ended":
          at = chunk.length;
          break;
      }
    }
    this.#consumed += chunk.length;
  }

  /**
   * The archive is complete. As in Go, and so in docker, the end marker and the padding of the last file may be missing.
   * @throws {IntegrityError} `ERR_TAR_TRUNCATED` if a header or a member is cut short
   */
  finish(): void {
    if (this.#state === "ended") return;
    const atBoundary =
      (this.#state === "header" && this.#blockFilled === 0) ||
      (this.#state === "skip" && this.#remaining <= this.#padding);
    if (!atBoundary) {
      if (this.#state === "header") this.#where.name = "";
      throw this.#refuse("ERR_TAR_TRUNCATED", `the archive ends inside it, after ${this.#consumed} bytes`);
    }
    this.#refuseOrphans();
  }

  #refuse(code: TarErrorCode, state: string): Error {
    return refuse(this.#where, code, state);
  }

  #hasExtensions(): boolean {
    return this.#pax !== null || this.#longName !== null || this.#longLink !== null;
  }

  /** Extension headers that describe nothing: what they were for has been cut off. */
  #refuseOrphans(): void {
    if (!this.#hasExtensions()) return;
    this.#where.name = this.#pax?.path ?? this.#longName ?? this.#longLink ?? "";
    throw this.#refuse("ERR_TAR_TRUNCATED", "the archive ends after its extension header");
  }

  /** Puts a block together and handles it. */
  #pushBlock(chunk: Buffer, at: number): number {
    if (this.#blockFilled === 0) {
      if (this.#state === "header") this.#where.offset = this.#consumed + at;
      if (chunk.length - at >= BLOCK_BYTES) {
        this.#handleBlock(chunk, at);
        return at + BLOCK_BYTES;
      }
    }
    const copied = chunk.copy(this.#block, this.#blockFilled, at);
    this.#blockFilled += copied;
    if (this.#blockFilled === BLOCK_BYTES) {
      this.#blockFilled = 0;
      this.#handleBlock(this.#block, 0);
    }
    return at + copied;
  }

  #handleBlock(block: Buffer, at: number): void {
    if (this.#state === "sparse-block") this.#handleSparseBlock(block, at);
    else this.#handleHeader(block, at);
  }

  #handleHeader(block: Buffer, at: number): void {
    this.#where.name = "";
    if (!parseHeader(block, at, this.#header, this.#where)) {
      this.#refuseOrphans();
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) this.#state = "ended";
      return;
    }
    // GNU tar stops at a lone block of zeros, Go refuses it, others read on.
    if (this.#zeroBlocks > 0) throw this.#refuse("ERR_TAR_FORMAT", "a single block of zeros is before it");
    switch (this.#header.typeflag) {
      case PAX:
      case PAX_GLOBAL:
        this.#startExtension(this.#limits.paxBytes);
        break;
      case GNU_LONG_NAME:
      case GNU_LONG_LINK:
        this.#startExtension(this.#limits.pathBytes + 1); // with its NUL
        break;
      case GNU_LABEL:
        this.#forgetExtensions();
        this.#skip(this.#header.sizeBytes);
        break;
      default:
        this.#startMember(block, at);
    }
  }

  #startExtension(limitBytes: number): void {
    const { sizeBytes } = this.#header;
    if (sizeBytes > limitBytes) {
      throw this.#refuse("ERR_TAR_LIMIT", `it is an extension header of ${sizeBytes} bytes, the most is ${limitBytes}`);
    }
    this.#extensionCount += 1;
    if (this.#extensionCount > this.#limits.extensionHeaders) {
      const most = this.#limits.extensionHeaders;
      throw this.#refuse("ERR_TAR_LIMIT", `more than ${most} extension headers are before one entry`);
    }
    this.#remaining = sizeBytes;
    this.#bodySize = sizeBytes;
    this.#state = "extension";
    if (sizeBytes === 0) this.#handleExtension(Buffer.alloc(0));
  }

  #pushExtension(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#remaining);
    if (end - at === this.#bodySize) {
      this.#handleExtension(chunk.subarray(at, end)); // all in this chunk: no copy
      return end;
    }
    this.#body ??= Buffer.allocUnsafeSlow(this.#bodySize);
    chunk.copy(this.#body, this.#bodySize - this.#remaining, at, end);
    this.#remaining -= end - at;
    if (this.#remaining === 0) {
      const body = this.#body;
      this.#body = null;
      this.#handleExtension(body);
      // The garbage collector sees a small object, and would let headers of 8 MiB pile up.
      if (body.length > Buffer.poolSize) (body.buffer as ArrayBuffer).transfer(0);
    }
    return end;
  }

  /** A header that comes twice replaces the first, as in Go and GNU tar; global ones add up, key by key. */
  #handleExtension(body: Buffer): void {
    const context = { limits: this.#limits, where: this.#where, global: this.#header.typeflag === PAX_GLOBAL };
    switch (this.#header.typeflag) {
      case PAX_GLOBAL:
        if (this.#hasExtensions()) throw this.#refuse("ERR_TAR_FORMAT", "it comes between an entry and its headers");
        this.#globalPax ??= new PaxFields();
        applyPax(body, this.#globalPax, context);
        break;
      case PAX:
        this.#pax = this.#globalPax?.clone() ?? new PaxFields();
        applyPax(body, this.#pax, context);
        break;
      case GNU_LONG_NAME:
        this.#longName = cString(body);
        this.#where.name = this.#longName;
        break;
      default:
        this.#longLink = cString(body);
    }
    this.#skipPadding(this.#bodySize);
  }
  #forgetExtensions(): void {
    this.#pax = null;
    this.#longName = null;
    this.#longLink = null;
    this.#extensionCount = 0;
  }

  #startMember(block: Buffer, at: number): void {
    const extensions = { pax: this.#pax ?? this.#globalPax, longName: this.#longName, longLink: this.#longLink };
    this.#forgetExtensions();
    const member = assembleMember(this.#header, block, at, extensions, this.#limits, this.#where);
    const { sparse } = member;
    if (sparse === null) {
      this.#deliver(member.entry, member.archivedBytes);
      return;
    }
    this.#member = member;
    switch (sparse.rest) {
      case "none":
        this.#deliverSparse(0);
        break;
      case "blocks":
        this.#state = "sparse-block";
        break;
      case "data":
        this.#state = "sparse-map";
        this.#mapParser = new SparseMapParser(sparse.extents, this.#where);
        this.#remaining = member.archivedBytes;
        this.#refuseLongMap();
    }
  }

  #handleSparseBlock(block: Buffer, at: number): void {
    const extents = this.#member?.sparse?.extents;
    if (extents !== undefined && !addBlockExtents(block, at, extents, this.#where)) this.#deliverSparse(0);
  }

  #pushMap(chunk: Buffer, at: number): number {
    const parser = this.#mapParser;
    if (parser === null) return at;
    const end = Math.min(chunk.length, at + this.#remaining);
    const next = parser.push(chunk, at, end);
    this.#remaining -= next - at;
    if (parser.done) {
      this.#mapParser = null;
      this.#deliverSparse(parser.sizeBytes);
    } else this.#refuseLongMap();
    return next;
  }

  /** A map that is longer than its member would run into the next header. */
  #refuseLongMap(): void {
    if (this.#remaining > 0) return;
    throw this.#refuse("ERR_TAR_SPARSE", "its sparse map is longer than its archived size");
  }

  /** The map is known, and took `mapBytes` of the member's data. */
  #deliverSparse(mapBytes: number): void {
    const member = this.#member;
    if (member === null || member.sparse === null) return;
    this.#member = null;
    const dataBytes = member.archivedBytes - mapBytes;
    this.#deliver(withExtents(member.entry, member.sparse, dataBytes), dataBytes);
  }

  #deliver(entry: TarEntry, bytes: number): void {
    this.#handler.entry(entry);
    if (bytes === 0 || entry.type !== "file") {
      this.#handler.end();
      this.#skip(bytes);
      return;
    }
    this.#extents = entry.extents;
    this.#extentIndex = 0;
    this.#position = 0;
    this.#remaining = bytes;
    this.#bodySize = bytes;
    this.#state = "data";
  }

  #pushData(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#remaining);
    const bytes = at === 0 && end === chunk.length ? chunk : chunk.subarray(at, end);
    if (this.#extents === null) {
      this.#handler.data(bytes, this.#position);
      this.#position += bytes.length;
    } else this.#pushExtents(bytes, this.#extents);
    this.#remaining -= bytes.length;
    if (this.#remaining === 0) {
      this.#extents = null;
      this.#handler.end();
      this.#skipPadding(this.#bodySize);
    }
    return end;
  }

  /** The data of a sparse file is all its extents in a row. */
  #pushExtents(bytes: Buffer, extents: readonly Extent[]): void {
    for (let at = 0; at < bytes.length; ) {
      const extent = extents[this.#extentIndex] as Extent; // they sum up to the data: ExtentList.finish
      const length = Math.min(extent.lengthBytes - this.#position, bytes.length - at);
      this.#handler.data(bytes.subarray(at, at + length), extent.offset + this.#position);
      at += length;
      this.#position += length;
      if (this.#position === extent.lengthBytes) {
        this.#extentIndex += 1;
        this.#position = 0;
      }
    }
  }

  #pushSkip(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#remaining);
    this.#remaining -= end - at;
    if (this.#remaining === 0) this.#state = "header";
    return end;
  }

  #skip(bytes: number): void {
    this.#skipPadding(bytes);
    this.#remaining += bytes;
    if (this.#remaining > 0) this.#state = "skip";
  }

  /** To the end of the block in which `bytes` bytes end. */
  #skipPadding(bytes: number): void {
    this.#padding = (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#remaining = this.#padding;
    this.#state = this.#padding > 0 ? "skip" : "header";
  }
}

/** The bytes before the first NUL. */
function cString(body: Buffer): string {
  const end = body.indexOf(0);
  return body.toString("latin1", 0, end < 0 ? body.length : end);
}
