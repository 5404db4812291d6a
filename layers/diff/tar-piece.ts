/**
 * A piece of a tar that is being assembled: headers are in it, and the contents of files are still to be read into the
 * gaps between them. What a piece is made of is known before a file is opened, because a file's size is known; so one
 * thread lays pieces out and others read.
 */

import { readSync } from "node:fs";
import type { HostPath, LayerPath } from "../../src/paths.ts";
import { close, openWithoutLinks } from "../../src/sys/file.ts";
import type { EntryHeaders } from "../tar/writer.ts";

/** What to read into a piece; crosses between threads. */
export interface FileReads {
  /** Host paths, with a NUL between them. */
  readonly paths: string;
  /** For each path: the place in the piece, the offset in the file, the number of bytes. */
  readonly places: Float64Array;
}

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
    return { paths: this.#paths.join("\0"), places: Float64Array.from(this.#places) };
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

  /** Leaves a gap of `sizeBytes`, for which there is room, for the bytes of a file from `offset` on. */
  leave(path: HostPath, name: LayerPath, offset: number, sizeBytes: number): void {
    this.#paths.push(path);
    this.#names.push(name);
    this.#places.push(this.#used, offset, sizeBytes);
    this.#used += sizeBytes;
  }

  /** The name in the tar of the file that is read at `index`. */
  nameAt(index: number): LayerPath {
    return this.#names[index] as LayerPath;
  }
}

/**
 * Reads files into the gaps of a piece.
 * @returns the index of a file that is shorter than it was; null if all is well
 * @throws a system error if one cannot be opened or read: `ELOOP` if a directory on the way to it is a symbolic link now
 */
export function fillPiece(bytes: Buffer, { paths, places }: FileReads): number | null {
  const each = paths.split("\0") as HostPath[];
  for (const [index, path] of each.entries()) {
    const [at, offset, sizeBytes] = places.subarray(3 * index, 3 * index + 3) as unknown as [number, number, number];
    if (!readInto(bytes.subarray(at, at + sizeBytes), path, offset)) return index;
  }
  return null;
}

function readInto(gap: Buffer, path: HostPath, offset: number): boolean {
  const fd = openWithoutLinks(path);
  try {
    for (let done = 0; done < gap.length; ) {
      const got = readSync(fd, gap, done, gap.length - done, offset + done);
      if (got === 0) return false;
      done += got;
    }
    return true;
  } finally {
    close(fd);
  }
}
