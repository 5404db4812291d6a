/** Where a tar goes that a command writes: standard output, or a file that appears when it is whole. */

import { closeSync, fsyncSync, openSync, renameSync, rmSync, write } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import { promisify } from "node:util";
import { newChunk, type TarSink } from "../layers/diff/tar-stream-writer.ts";
import { type Destination, destinationAt, onto } from "../layers/formats/destination.ts";
import { isErrno, UsageError } from "../src/errors.ts";
import { bytesOf, hostPath } from "../src/paths.ts";
import { syncDirectory } from "../src/sys/sync.ts";
import { STDOUT, toStdout } from "./output.ts";

const CHUNK_BYTES = 1 << 20;
const writeAsync = promisify(write);

/** Disposing it before `finish` leaves no file. */
export class TarOutput implements TarSink, Disposable {
  readonly #fd: number;
  /** Null for standard output. */
  readonly #destination: Destination | null;
  readonly #free: Buffer[] = [];
  #isOpen = true;

  /**
   * `destination`: a file, replaced at the end, or "-" for standard output.
   * @throws {UsageError} `ERR_DESTINATION` if that is a terminal
   * @throws what `destinationAt` throws
   */
  constructor(destination: string) {
    if (destination === "-") {
      const why = "it is a terminal; redirect it, or name a file";
      if (isatty(STDOUT)) throw new UsageError("ERR_DESTINATION", `Cannot write a tar to standard output: ${why}`);
      this.#destination = null;
      this.#fd = STDOUT;
      return;
    }
    const place = destinationAt(hostPath(destination));
    this.#destination = place;
    this.#fd = atDestination(place, () =>
      place.kind === "in-place"
        ? openSync(bytesOf(place.path), "w")
        : openSync(bytesOf(place.temporary), "wx", place.mode),
    );
  }

  take(): Buffer {
    return this.#free.pop() ?? newChunk(CHUNK_BYTES);
  }

  async write(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) at += await this.#writeSome(chunk, at);
    if (chunk.length === CHUNK_BYTES) this.#free.push(chunk);
  }

  async #writeSome(chunk: Buffer, at: number): Promise<number> {
    try {
      return (await writeAsync(this.#fd, chunk, at, chunk.length - at, null)).bytesWritten;
    } catch (error) {
      if (!isErrno(error, "EAGAIN"))
        throw this.#destination === null ? toStdout(error) : onto(this.#destination, error);
      await sleep(5); // a full pipe that somebody made non-blocking
      return 0;
    }
  }

  /** The file is there under its name, whole and on disk. */
  finish(): void {
    const place = this.#destination;
    if (place?.kind === "replaced") {
      atDestination(place, () => {
        fsyncSync(this.#fd);
        renameSync(bytesOf(place.temporary), bytesOf(place.path));
        syncDirectory(place.directory);
      });
    }
    this.#close();
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#close();
    if (this.#destination?.kind === "replaced") rmSync(bytesOf(this.#destination.temporary), { force: true });
  }

  #close(): void {
    this.#isOpen = false;
    if (this.#fd !== STDOUT) closeSync(this.#fd);
  }
}

function atDestination<Result>(place: Destination, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw onto(place, error);
  }
}
