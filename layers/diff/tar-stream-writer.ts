/**
 * Assembles a tar from pieces of one size and hands each over when it is full. It lays out headers and leaves gaps for
 * the contents of files, which are read straight into them, a few pieces ahead of what is handed over.
 */

import type { HostPath, LayerPath } from "../../src/paths.ts";
import { dataExtents } from "../../src/sys/copy.ts";
import { AT_FDCWD, close, openWithoutLinks } from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import type { Extent, TarEntry } from "../tar/entry.ts";
import type { PlainFile } from "../tar/plain-file.ts";
import { dataBytesOf, END_OF_ARCHIVE, encodeEntry, entryHeaders, paddingFor } from "../tar/writer.ts";
import type { TarFiller } from "./tar-filler.ts";
import { TarPiece } from "./tar-piece.ts";

/** Where a tar goes. */
export interface TarSink {
  /** A chunk to fill: all chunks have one size, and memory that threads share. May be one that was written before. */
  take(): Buffer;
  /** Takes over `chunk`, which is full unless it is the last. The next call waits for the promise. */
  write(chunk: Buffer): Promise<void>;
}

/** A chunk for a sink to give. */
export function newChunk(sizeBytes: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(sizeBytes));
}

interface FileContent {
  readonly path: LayerPath;
  readonly dataPath: HostPath;
  /** Of the file at `dataPath`, if that is known. */
  readonly stat: Stat | null;
}

interface Filling {
  readonly piece: TarPiece;
  readonly filled: Promise<void> | undefined;
}

/** What a hole is rounded to, so that the same file gives the same map on file systems with other block sizes. */
const HOLE_BYTES = 4096;
/** Pieces that are being filled, or are filled and wait for those before them. */
const AHEAD = 4;

/** Disposing it ends its thread; the tar is whole only after `finish`. */
export class TarStreamWriter implements AsyncDisposable {
  readonly #sink: TarSink;
  readonly #unchanged: Set<Stat> | null;
  readonly #filler: TarFiller;
  readonly #full: TarPiece[] = [];
  readonly #filling: Filling[] = [];
  #piece: TarPiece;
  #sizeBytes = 0;

  /**
   * With `unchanged` every file whose stat is known must be as it was when it has been read; the stats of those that are
   * read are put in. Takes over `filler`.
   */
  constructor(sink: TarSink, unchanged: Set<Stat> | null, filler: TarFiller) {
    this.#sink = sink;
    this.#unchanged = unchanged;
    this.#filler = filler;
    this.#piece = new TarPiece(sink.take());
  }

  /** How much there is so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** True if pieces wait: call `drain` before adding more. Kept apart from `add`, so that small files need no await. */
  get isFull(): boolean {
    return this.#full.length > 0;
  }

  /**
   * Fills the pieces that are laid out, and hands over what is filled.
   * @throws {ConflictError} `ERR_FILE_CHANGED` if a file is not as it was
   */
  async drain(): Promise<void> {
    for (const piece of this.#full.splice(0)) {
      this.#fill(piece);
      if (this.#filling.length > AHEAD) await this.#writeOldest();
    }
  }

  /** Adds a member that has no content. */
  add(entry: TarEntry): void {
    this.#appendHeaders(entry);
  }

  /**
   * Adds a regular file with its content from `dataPath`. `entry.extents` is found out here, from `stat` if that is of
   * `dataPath`; without `sparse` it has all bytes. Returns no promise unless the file is larger than a piece.
   */
  addFile(entry: TarEntry, dataPath: HostPath, stat: Stat | null, sparse = true): Promise<void> | undefined {
    const extents = sparse ? extentsOf(dataPath, entry.sizeBytes, stat) : null;
    const full: TarEntry = extents === null ? entry : { ...entry, extents };
    this.#appendHeaders(full);
    const content: FileContent = { path: entry.path as LayerPath, dataPath, stat };
    const parts = extents ?? [{ offset: 0, lengthBytes: entry.sizeBytes }];
    if (entry.sizeBytes > this.#piece.room) return this.#addLarge(full, content, parts);
    for (const { offset, lengthBytes } of parts) this.#leave(content, offset, lengthBytes);
    this.#append(paddingFor(dataBytesOf(full)));
    return undefined;
  }

  /** Adds a file that is plain and fits into this piece; false, and nothing is added, if it does not or is not. */
  addPlainFile(file: PlainFile, dataPath: HostPath, stat: Stat): boolean {
    const size = this.#piece.appendPlainFile(file, dataPath, this.#unchanged === null ? null : stat);
    if (size === 0) return false;
    this.#sizeBytes += size;
    if (file.sizeBytes > 0) this.#unchanged?.add(stat);
    return true;
  }

  /** Ends the archive. @returns its size @throws as `drain` */
  async finish(): Promise<number> {
    this.#append(END_OF_ARCHIVE);
    await this.drain();
    if (this.#piece.bytes.length > 0) this.#fill(this.#piece);
    while (this.#filling.length > 0) await this.#writeOldest();
    return this.#sizeBytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#filler[Symbol.asyncDispose]();
  }

  async #addLarge(entry: TarEntry, content: FileContent, parts: readonly Extent[]): Promise<void> {
    for (const { offset, lengthBytes } of parts) {
      for (let done = 0; done < lengthBytes; ) {
        done += this.#leave(content, offset + done, lengthBytes - done);
        if (this.isFull) await this.drain();
      }
    }
    this.#append(paddingFor(dataBytesOf(entry)));
  }

  /** Leaves a gap in this piece for the bytes of a file, or for as many as it takes. @returns how many that were */
  #leave({ path, dataPath, stat }: FileContent, offset: number, lengthBytes: number): number {
    const size = Math.min(this.#piece.room, lengthBytes);
    const state = this.#unchanged === null ? null : stat;
    if (size > 0) this.#piece.leave(dataPath, path, offset, size, state);
    if (size > 0 && state !== null) this.#unchanged?.add(state);
    this.#advance(size);
    return size;
  }

  #appendHeaders(entry: TarEntry): void {
    const headers = entryHeaders(entry);
    if (headers.sizeBytes > this.#piece.room) {
      this.#append(encodeEntry(entry));
      return;
    }
    this.#piece.appendHeaders(headers);
    this.#advance(headers.sizeBytes);
  }

  #append(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const size = this.#piece.append(bytes, at);
      at += size;
      this.#advance(size);
    }
  }

  #advance(size: number): void {
    this.#sizeBytes += size;
    if (this.#piece.room > 0) return;
    this.#full.push(this.#piece);
    this.#piece = new TarPiece(this.#sink.take());
  }

  #fill(piece: TarPiece): void {
    const filled = this.#filler.fill(piece);
    filled?.catch(() => {}); // whoever waits for it is told; it may fail before
    this.#filling.push({ piece, filled });
  }

  async #writeOldest(): Promise<void> {
    const oldest = this.#filling.shift();
    if (oldest === undefined) return;
    await oldest.filled;
    await this.#sink.write(oldest.piece.bytes);
  }
}

/** The data of a sparse file; null for a file without holes. Only a file with fewer blocks than bytes is probed. */
function extentsOf(path: HostPath, sizeBytes: number, known: Stat | null): readonly Extent[] | null {
  if (known !== null && known.blocks512 * 512 >= sizeBytes) return null;
  const fd = openWithoutLinks(AT_FDCWD, path);
  try {
    if (statAt(fd, null).blocks512 * 512 >= sizeBytes) return null;
    return holesLeftOut(fd, sizeBytes);
  } finally {
    close(fd);
  }
}

function holesLeftOut(fd: number, sizeBytes: number): readonly Extent[] | null {
  const extents: { offset: number; lengthBytes: number }[] = [];
  for (const [start, end] of dataExtents(fd, sizeBytes)) {
    const offset = start - (start % HOLE_BYTES);
    const stop = Math.min(Math.ceil(end / HOLE_BYTES) * HOLE_BYTES, sizeBytes);
    const last = extents.at(-1);
    if (last !== undefined && last.offset + last.lengthBytes >= offset) last.lengthBytes = stop - last.offset;
    else extents.push({ offset, lengthBytes: stop - offset });
  }
  const dataBytes = extents.reduce((sum, extent) => sum + extent.lengthBytes, 0);
  return dataBytes === sizeBytes ? null : extents;
}
