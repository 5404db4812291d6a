/**
 * A piece of a tar that is being assembled: headers are in it, and the contents of files are still to be read into the
 * gaps between them. What a piece is made of is known before a file is opened, because a file's size is known; so one
 * thread lays pieces out and others read.
 */

import { readSync } from "node:fs";
import type { HostPath, LayerPath } from "../../src/paths.ts";
import { close } from "../../src/sys/file.ts";
import { OpenParent } from "../../src/sys/open-parent.ts";
import { isInState, STATE_NUMBERS, type Stat } from "../../src/sys/stat.ts";
import { BLOCK_BYTES } from "../tar/header.ts";
import { MOST_PLAIN_BYTES, type PlainFile, writePlainFile } from "../tar/plain-file.ts";
import type { EntryHeaders } from "../tar/writer.ts";

/** What to read into a piece; crosses between threads. */
export interface FileReads {
  /** Host paths, with a NUL between them. */
  readonly paths: string;
  /**
   * For each path: the place in the piece, the offset in the file, the number of bytes, and the state that the file must
   * be in (`Stat.putState`), or as often NaN.
   */
  readonly places: Float64Array;
}

const ZEROS = Buffer.alloc(BLOCK_BYTES);
const PLACE_NUMBERS = 3 + STATE_NUMBERS;
const ANY_STATE: readonly number[] = new Array(STATE_NUMBERS).fill(Number.NaN);

/** A buffer that threads share, and what is to be read into it. */
export class TarPiece {
  readonly #buffer: Buffer;
  readonly #paths: HostPath[] = [];
  readonly #names: LayerPath[] = [];
  readonly #places: number[] = [];
  #used = 0;

  /** Takes over `buffer`, all of the memory of which threads must share: a copy would be filled for nobody. */
  constructor(buffer: Buffer) {
    if (!(buffer.buffer instanceof SharedArrayBuffer)) throw new TypeError("a piece needs shared memory");
    this.#buffer = buffer;
  }

  get room(): number {
    return this.#buffer.length - this.#used;
  }

  /** True if nothing is left to be read. */
  get isComplete(): boolean {
    return this.#paths.length === 0;
  }

  /** The bytes so far. */
  get bytes(): Buffer {
    return this.room === 0 ? this.#buffer : this.#buffer.subarray(0, this.#used);
  }

  get reads(): FileReads {
    return { paths: this.#paths.join("\0"), places: new Float64Array(this.#places) };
  }

  /** Appends bytes from `at` on, as many as there is room for. @returns how many that were */
  append(bytes: Buffer, at: number): number {
    const size = bytes.copy(this.#buffer, this.#used, at);
    this.#used += size;
    return size;
  }

  /** Appends headers, for which there is room. */
  appendHeaders(headers: EntryHeaders): void {
    headers.writeTo(this.#buffer, this.#used);
    this.#used += headers.sizeBytes;
  }

  /**
   * Appends a plain file: its headers, a gap for its bytes, to be read as `leave` says, and what fills its last block.
   * @returns how many bytes that are; 0, and nothing is appended, if there is no room for them and one more, or if it is not plain
   */
  appendPlainFile(file: PlainFile, path: HostPath, stat: Stat | null): number {
    const { sizeBytes } = file;
    const dataBytes = Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
    if (this.room <= MOST_PLAIN_BYTES + dataBytes) return 0;
    const headerBytes = writePlainFile(this.#buffer, this.#used, file);
    if (headerBytes === 0) return 0;
    this.#used += headerBytes;
    const end = this.#used + dataBytes;
    if (dataBytes > sizeBytes) this.#buffer.set(ZEROS, end - BLOCK_BYTES); // what is read comes over them
    if (sizeBytes > 0) this.leave(path, file.path as LayerPath, 0, sizeBytes, stat);
    this.#used = end;
    return headerBytes + dataBytes;
  }

  /**
   * Leaves a gap of `sizeBytes`, for which there is room, for the bytes of a file from `offset` on. The file must still be
   * as in `stat` once they have been read, if that is given.
   */
  leave(path: HostPath, name: LayerPath, offset: number, sizeBytes: number, stat: Stat | null): void {
    this.#paths.push(path);
    this.#names.push(name);
    this.#places.push(this.#used, offset, sizeBytes);
    if (stat === null) this.#places.push(...ANY_STATE);
    else stat.putState(this.#places);
    this.#used += sizeBytes;
  }

  /** The name in the tar of the file that is read at `index`. */
  nameAt(index: number): LayerPath {
    return this.#names[index] as LayerPath;
  }
}

/**
 * Reads files into the gaps of a piece.
 * @returns the index of a file that is shorter than it was, or not in the state that it must be in; null if all is well
 * @throws a system error if one cannot be opened or read: `ELOOP` if a directory on the way to it is a symbolic link now
 */
export function fillPiece(bytes: Buffer, { paths, places }: FileReads): number | null {
  using parents = new OpenParent();
  let index = 0;
  for (const path of paths.split("\0") as HostPath[]) {
    if (!readInto(bytes, parents.openFile(path), places, index * PLACE_NUMBERS)) return index;
    index++;
  }
  return null;
}

/** Fills one gap from `fd` and closes that. */
function readInto(bytes: Buffer, fd: number, places: Float64Array, at: number): boolean {
  try {
    const start = places[at] as number; // not destructured: that costs as much as a system call
    const offset = places[at + 1] as number;
    const sizeBytes = places[at + 2] as number;
    for (let done = 0; done < sizeBytes; ) {
      const got = readSync(fd, bytes, start + done, sizeBytes - done, offset + done);
      if (got === 0) return false;
      done += got;
    }
    return Number.isNaN(places[at + 3]) || isInState(fd, places, at + 3);
  } finally {
    close(fd);
  }
}
