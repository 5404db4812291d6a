/** A tar into a stream of node's. */

import type { Writable } from "node:stream";
import { newChunk, type TarSink } from "../diff/tar-stream-writer.ts";

const CHUNK_BYTES = 1 << 20;

/** Writes to `stream`, at its pace. A chunk is not used again: whoever reads the stream may keep it. */
export class StreamSink implements TarSink {
  readonly #stream: Writable;

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  take(): Buffer {
    return newChunk(CHUNK_BYTES);
  }

  write(chunk: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => reject(error);
      this.#stream.once("error", failed);
      this.#stream.write(chunk, (error) => {
        this.#stream.off("error", failed);
        if (error == null) resolve();
        else reject(error);
      });
    });
  }
}
