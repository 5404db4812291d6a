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
  const each = paths.split("\0") as HostPath[];
  for (const [index, path] of each.entries()) {
    if (!readInto(bytes, parents.openFile(path), places, index * PLACE_NUMBERS)) return index;
  }
  return null;
}

/** Fills one gap from `fd` and closes that. */
function readInto(bytes: Buffer, fd: number, places: Float64Array, at: number): boolean {
  try {
    const [start, offset, sizeBytes, state] = places.subarray(at, at + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    for (let done = 0; done < sizeBytes; ) {
      const got = readSync(fd, bytes, start + done, sizeBytes - done, offset + done);
      if (got === 0) return false;
      done += got;
    }
    return Number.isNaN(state) || isInState(fd, places, at + 3);
  } finally {
    close(fd);
  }
}
