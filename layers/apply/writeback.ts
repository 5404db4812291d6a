/**
 * Keeps a file system's dirty pages on their way to the disk while layers are unpacked, so that the disk works beside
 * the processors and the sync that makes a layer permanent finds little left to write.
 */

import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { bytesOf, type HostPath } from "../../src/paths.ts";
import { syncFileSystem } from "../../src/sys/sync.ts";

/** Between two syncs: each makes whoever creates files wait for the journal, in other processes too. */
const PAUSE_MS = 500;

/** Disposing waits for a sync that is under way. */
export class Writeback implements AsyncDisposable {
  readonly #fd: number;
  #working = 0;
  #running: Promise<void> | null = null;
  readonly #ending = new AbortController();
  /** The last of the syncs, which run one after another: an error of the disk is told to only one of them. */
  #last: Promise<unknown> = Promise.resolve();

  /** For the file system of `directory`. @throws a system error */
  constructor(directory: HostPath) {
    this.#fd = openSync(bytesOf(directory), "r");
  }

  /** Writes out while `work` is under way. Settles as it does. */
  async during<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#working += 1;
    this.#running ??= this.#run();
    try {
      return await work();
    } finally {
      this.#working -= 1;
    }
  }

  /** Fulfilled once all that has been written is on the disk. @throws PosixError `EIO`, for ever after it failed once */
  sync(): Promise<unknown> {
    this.#last = this.#last.then(() => syncFileSystem(this.#fd));
    return this.#last;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#running;
    await this.#last.catch(() => {}); // who waits for it has been told
    closeSync(this.#fd);
  }

  async #run(): Promise<void> {
    try {
      while (this.#working > 0) {
        await sleep(PAUSE_MS, undefined, { signal: this.#ending.signal });
        await this.sync();
      }
    } catch {
      // The end; or the disk failed, and then everything that is to be made permanent fails too, and tells.
    }
    this.#running = null;
  }
}
