/** Writes entries to a descriptor as a tar. */

import { writeAll } from "../../src/sys/file.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { TarHandler } from "../tar/reader.ts";
import { dataBytesOf, END_OF_ARCHIVE, encodeEntry, paddingFor } from "../tar/writer.ts";

export class TarEncoder implements TarHandler {
  readonly #fd: number;
  #entry: TarEntry | null = null;
  entries = 0;
  bytes = 0;

  /** `fd` stays the caller's, and may make us wait. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  entry(entry: TarEntry): void {
    this.#entry = entry;
    this.entries += 1;
    writeAll(this.#fd, encodeEntry(entry));
  }

  data(bytes: Buffer): void {
    this.bytes += bytes.length;
    writeAll(this.#fd, bytes);
  }

  end(): void {
    if (this.#entry !== null) writeAll(this.#fd, paddingFor(dataBytesOf(this.#entry)));
  }

  finish(): void {
    writeAll(this.#fd, END_OF_ARCHIVE);
  }
}
