/**
 * Records in a file, written one after another and read in the same order: what has to be remembered of every entry of a
 * layer goes there, because a layer may have millions of them and memory must not follow. A record is its length (32
 * bits, little-endian) and its bytes.
 */

import { readSync } from "node:fs";
import { writeAll } from "../../src/sys/file.ts";

const LENGTH_BYTES = 4;
const BUFFER_BYTES = 64 * 1024;

/** Appends records to an open file, in large pieces. */
export class RecordWriter {
  readonly #open: () => number;
  #fd = -1;
  #buffer: Buffer | null = null;
  #used = 0;

  /** `open` is called before the first write, which may never come. The caller closes what it gives. */
  constructor(open: () => number) {
    this.#open = open;
  }

  add(record: Uint8Array): void {
    this.#buffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
    if (this.#used + LENGTH_BYTES + record.length > BUFFER_BYTES) this.flush();
    this.#used = this.#buffer.writeUInt32LE(record.length, this.#used);
    if (this.#used + record.length > BUFFER_BYTES) {
      this.flush();
      writeAll(this.#fd, record);
      return;
    }
    this.#buffer.set(record, this.#used);
    this.#used += record.length;
  }

  /** Hands what is left to the file. */
  flush(): void {
    if (this.#used === 0 || this.#buffer === null) return;
    if (this.#fd < 0) this.#fd = this.#open();
    writeAll(this.#fd, this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}

/** The records of an open file. Each is valid until the next is asked for. */
export function* readRecords(fd: number): Generator<Buffer, void, void> {
  let buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  let [position, start, end] = [0, 0, 0]; // of the file; of what is left in the buffer
  const fill = (bytes: number): boolean => {
    if (end - start >= bytes) return true;
    const left = buffer.subarray(start, end);
    if (bytes > buffer.length) buffer = Buffer.allocUnsafeSlow(bytes);
    left.copy(buffer);
    [start, end] = [0, left.length];
    for (let got = -1; end < bytes && got !== 0; end += got) {
      got = readSync(fd, buffer, end, buffer.length - end, position);
      position += got;
    }
    return end >= bytes;
  };
  while (fill(LENGTH_BYTES)) {
    const length = buffer.readUInt32LE(start);
    if (!fill(LENGTH_BYTES + length)) return;
    const at = start + LENGTH_BYTES;
    start = at + length;
    yield buffer.subarray(at, start);
  }
}
