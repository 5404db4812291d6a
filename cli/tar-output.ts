/** Where a tar goes that a command writes: standard output, or a file that appears when it is whole. */

import { closeSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, statSync, write } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import { promisify } from "node:util";
import { newChunk, type TarSink } from "../layers/diff/tar-stream-writer.ts";
import { isErrno, UsageError } from "../src/errors.ts";
import { bytesOf, type HostPath, hostPath, hostPathOfBytes } from "../src/paths.ts";
import { STDOUT } from "./output.ts";

const CHUNK_BYTES = 1 << 20;
const writeAsync = promisify(write);

/** Disposing it before `finish` leaves no file. */
export class TarOutput implements TarSink, Disposable {
  readonly #fd: number;
  /** What a new file is called until it is whole; null for what is written in place (a pipe, a device). */
  readonly #temporary: HostPath | null;
  readonly #path: HostPath;
  readonly #free: Buffer[] = [];
  #isOpen = true;

  /**
   * `destination`: a file, replaced at the end, or "-" for standard output.
   * @throws {UsageError} `ERR_DESTINATION` if that is a terminal
   */
  constructor(destination: string) {
    const path = hostPath(destination);
    const existing = statSync(bytesOf(path), { throwIfNoEntry: false });
    // A symlink stays one, and a file keeps its mode: what it points to is replaced.
    this.#path = existing?.isFile() ? hostPathOfBytes(realpathSync(bytesOf(path), "buffer")) : path;
    this.#temporary = null;
    if (destination === "-") {
      const why = "it is a terminal; redirect it, or name a file";
      if (isatty(STDOUT)) throw new UsageError("ERR_DESTINATION", `Cannot write a tar to standard output: ${why}`);
      this.#fd = STDOUT;
    } else if (existing !== undefined && !existing.isFile()) {
      this.#fd = openSync(bytesOf(path), "w"); // a pipe or device: written to, not replaced
    } else {
      this.#temporary = `${this.#path}.${process.pid}.tmp` as HostPath;
      this.#fd = openSync(bytesOf(this.#temporary), "wx", existing === undefined ? 0o666 : existing.mode & 0o777);
    }
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
      if (!isErrno(error, "EAGAIN")) throw error;
      await sleep(5); // a full pipe that somebody made non-blocking
      return 0;
    }
  }

  /** The file is there under its name, whole and on disk. */
  finish(): void {
    if (this.#temporary !== null) {
      fsyncSync(this.#fd);
      renameSync(bytesOf(this.#temporary), bytesOf(this.#path));
    }
    this.#close();
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#close();
    if (this.#temporary !== null) rmSync(bytesOf(this.#temporary), { force: true });
  }

  #close(): void {
    this.#isOpen = false;
    if (this.#fd !== STDOUT) closeSync(this.#fd);
  }
}
