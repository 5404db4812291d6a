/**
 * Fills the pieces of a tar: on a thread of its own as soon as that is there, until then on the thread that lays them
 * out. That one has the hashes to do meanwhile, which take as long, and spares compiling what reads files a second time.
 * What fits into one piece never starts a thread; who knows before that there is more has it started beside other work.
 */

import { Worker } from "node:worker_threads";
import { ConflictError } from "../../src/errors.ts";
import { display } from "../../src/paths.ts";
import { type PackedError, unpackError } from "../../src/thread-errors.ts";
import { type FileReads, fillPiece, type TarPiece } from "./tar-piece.ts";

/** The bundle has the worker beside it; a checkout runs the source. */
const WORKER = new URL(import.meta.url.endsWith(".ts") ? "./fill-worker.ts" : "./fill-worker.cjs", import.meta.url);

/** A piece for the thread. */
export interface FillTask {
  readonly bytes: Uint8Array;
  readonly reads: FileReads;
}

/** Its answers: that it has started, and then one for each piece, in order. */
export type FillReply = "ready" | { readonly changed: number | null } | { readonly error: PackedError };

interface Sent {
  readonly piece: TarPiece;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Disposing it ends the thread once that has done what it has been sent. */
export class TarFiller implements AsyncDisposable {
  #worker: Worker | null = null;
  #isReady = false;
  readonly #sent: Sent[] = [];
  #lastSent: Promise<void> = Promise.resolve();

  /**
   * Fills a piece. Returns no promise if that is done at once.
   * @throws {ConflictError} `ERR_FILE_CHANGED` if a file is not as it was
   * @throws a system error
   */
  fill(piece: TarPiece): Promise<void> | undefined {
    if (piece.isComplete) return undefined;
    if (this.#worker !== null && this.#isReady) return this.#send(this.#worker, piece);
    if (piece.room === 0) this.start(); // there is more to come
    mustBeUnchanged(piece, fillPiece(piece.bytes, piece.reads));
    return undefined;
  }

  /** Starts the thread, unless it is started: that takes it longer than reading a thousand files. */
  start(): void {
    this.#worker ??= this.#newWorker();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lastSent.catch(() => {}); // a thread that is terminated inside a call of libc takes the process with it
    await this.#worker?.terminate();
  }

  #send(worker: Worker, piece: TarPiece): Promise<void> {
    const task: FillTask = { bytes: piece.bytes, reads: piece.reads };
    this.#lastSent = new Promise((resolve, reject) => {
      this.#sent.push({ piece, resolve, reject });
      worker.postMessage(task);
    });
    return this.#lastSent;
  }

  #newWorker(): Worker {
    const worker = new Worker(WORKER);
    worker.on("message", (reply: FillReply) => {
      if (reply === "ready") this.#isReady = true;
      else this.#answer(reply);
    });
    const lost = (error: Error): void => {
      this.#isReady = false;
      for (const { reject } of this.#sent.splice(0)) reject(error);
    };
    worker.on("error", lost);
    worker.on("exit", () => lost(new Error("a reading thread ended before its work was done")));
    return worker;
  }

  #answer(reply: Exclude<FillReply, "ready">): void {
    const sent = this.#sent.shift();
    if (sent === undefined) return;
    try {
      if ("error" in reply) throw unpackError(reply.error);
      mustBeUnchanged(sent.piece, reply.changed);
      sent.resolve();
    } catch (error) {
      sent.reject(error as Error);
    }
  }
}

function mustBeUnchanged(piece: TarPiece, changed: number | null): void {
  if (changed === null) return;
  const path = display(piece.nameAt(changed));
  const message = `Cannot archive "${path}": it changed while it was read`;
  throw new ConflictError("ERR_FILE_CHANGED", message, { data: { path } });
}
