/**
 * Assembles a tar into chunks of one size and hands each over when it is full. File contents are read straight into the
 * chunk: a small file costs an open, a read and a close, and no copy.
 */

import { closeSync, readSync } from "node:fs";
import { ConflictError } from "../../src/errors.ts";
import { display, type HostPath } from "../../src/paths.ts";
import { dataExtents } from "../../src/sys/copy.ts";
import { AT_FDCWD, O_NOFOLLOW, O_RDONLY, openAt, type Stat, statAt } from "../../src/sys/file.ts";
import type { Extent, TarEntry } from "../tar/entry.ts";
import { dataBytesOf, END_OF_ARCHIVE, encodeEntry, paddingFor } from "../tar/writer.ts";

/** Where a tar goes. */
export interface TarSink {
  /** A chunk to fill: all chunks have one size. May be one that was written before and is done with. */
  take(): Buffer;
  /** Takes over `chunk`, which is full unless it is the last. The next call waits for the promise. */
  write(chunk: Buffer): Promise<void>;
}

/** What a hole is rounded to, so that the same file gives the same map on file systems with other block sizes. */
const HOLE_BYTES = 4096;

export class TarStreamWriter {
  readonly #sink: TarSink;
  readonly #full: Buffer[] = [];
  #chunk: Buffer;
  #used = 0;
  #sizeBytes = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
    this.#chunk = sink.take();
  }

  /** How much there is so far. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** True if chunks wait: call `drain` before adding more. Kept apart from `add`, so that small files need no await. */
  get isFull(): boolean {
    return this.#full.length > 0;
  }

  /** Hands over the chunks that are full. */
  async drain(): Promise<void> {
    for (const chunk of this.#full.splice(0)) await this.#sink.write(chunk);
  }

  /** Adds a member that has no content. */
  add(entry: TarEntry): void {
    this.#append(encodeEntry(entry));
  }

  /**
   * Adds a regular file with its content from `dataPath`. `entry.extents` is found out here.
   * @throws {ConflictError} `ERR_FILE_CHANGED` if the file is shorter than `entry.sizeBytes`
   */
  async addFile(entry: TarEntry, dataPath: HostPath, stat: Stat | null): Promise<void> {
    const fd = openAt(AT_FDCWD, dataPath, O_RDONLY | O_NOFOLLOW);
    try {
      const extents = extentsOf(fd, entry.sizeBytes, stat ?? statAt(fd, null));
      const full: TarEntry = { ...entry, extents };
      this.#append(encodeEntry(full));
      for (const { offset, lengthBytes } of extents ?? [{ offset: 0, lengthBytes: entry.sizeBytes }]) {
        await this.#copy(fd, offset, lengthBytes, entry.path);
      }
      this.#append(paddingFor(dataBytesOf(full)));
    } finally {
      closeSync(fd);
    }
  }

  /** Ends the archive. @returns its size */
  async finish(): Promise<number> {
    this.#append(END_OF_ARCHIVE);
    await this.drain();
    if (this.#used > 0) await this.#sink.write(this.#chunk.subarray(0, this.#used));
    return this.#sizeBytes;
  }

  async #copy(fd: number, offset: number, lengthBytes: number, path: string): Promise<void> {
    let at = offset;
    const end = offset + lengthBytes;
    while (at < end) {
      const room = Math.min(this.#chunk.length - this.#used, end - at);
      const got = readSync(fd, this.#chunk, this.#used, room, at);
      if (got === 0) {
        throw new ConflictError(
          "ERR_FILE_CHANGED",
          `Cannot archive "${display(path)}": it became shorter while it was read`,
          { data: { path: display(path) } },
        );
      }
      at += got;
      this.#advance(got);
      if (this.isFull && at < end) await this.drain();
    }
  }

  #append(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      const size = Math.min(this.#chunk.length - this.#used, bytes.length - at);
      bytes.copy(this.#chunk, this.#used, at, at + size);
      at += size;
      this.#advance(size);
    }
  }

  #advance(size: number): void {
    this.#used += size;
    this.#sizeBytes += size;
    if (this.#used < this.#chunk.length) return;
    this.#full.push(this.#chunk);
    this.#chunk = this.#sink.take();
    this.#used = 0;
  }
}

/** The data of a sparse file; null for a file without holes. Only a file with fewer blocks than bytes is probed. */
function extentsOf(fd: number, sizeBytes: number, stat: Stat): readonly Extent[] | null {
  if (stat.blocks512 * 512 >= sizeBytes) return null;
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
