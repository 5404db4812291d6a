/** Threads that unpack layers side by side. */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { type PackedError, unpackError } from "../../src/thread-errors.ts";
import { guessExpandedSize } from "./expanded-size.ts";
import type { UnpackResult, UnpackTask } from "./unpack-layer.ts";

/** The bundle has the worker beside it; a checkout runs the source. */
const WORKER = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./apply-worker.cjs", import.meta.url);

/** What a thread says: that it is there, and its answer to each task. */
export type WorkerReply = "ready" | { readonly result: UnpackResult } | { readonly error: PackedError };

/** Memory that the threads share. */
export interface WorkerShares {
  /** Bytes read so far by all of them: one 64-bit number. */
  readonly progress: SharedArrayBuffer;
  /** One 32-bit number: not 0 when all are to stop. */
  readonly stop: SharedArrayBuffer;
}

interface Job {
  readonly task: UnpackTask;
  /** How long it may take, compared with others. */
  readonly weight: number;
  readonly resolve: (result: UnpackResult) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Unpacks tasks on as many threads as there are cores, the heaviest first: a long one that is begun last would keep one
 * core busy while the others have nothing left. Threads start when they are first needed. Disposing stops what is under
 * way: each thread comes to an end by itself, because one that is terminated inside a call of libc takes the process
 * with it.
 */
export class WorkerPool implements AsyncDisposable {
  readonly #limit: number;
  /** What each thread is at. One that starts chooses when it is there, among all that has come by then. */
  readonly #workers = new Map<Worker, Job | "starting" | "idle">();
  readonly #queue: Job[] = [];
  readonly #progress = new SharedArrayBuffer(8);
  readonly #stop = new SharedArrayBuffer(4);
  #whenQuiet: (() => void) | null = null;
  #ended = false;

  constructor(limit: number = availableParallelism()) {
    this.#limit = limit;
  }

  /** Compressed bytes read so far, by all threads. */
  get bytesRead(): number {
    return Number(Atomics.load(new BigUint64Array(this.#progress), 0));
  }

  /** @throws as `unpackLayer` */
  unpack(task: UnpackTask): Promise<UnpackResult> {
    if (this.#ended) return Promise.reject(disposed());
    return new Promise((resolve, reject) => {
      this.#queue.push({ task, weight: guessExpandedSize(task.location), resolve, reject });
      this.#queue.sort((a, b) => b.weight - a.weight);
      this.#next();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    for (const job of this.#queue.splice(0)) job.reject(disposed());
    Atomics.store(new Int32Array(this.#stop), 0, 1);
    await new Promise<void>((resolve) => {
      this.#whenQuiet = resolve;
      this.#next();
    });
    await Promise.all([...this.#workers.keys()].map((worker) => worker.terminate()));
  }

  #next(): void {
    const states = [...this.#workers];
    if (states.every(([, state]) => state === "idle")) this.#whenQuiet?.();
    if (this.#ended || this.#queue.length === 0) return;
    const idle = states.find(([, state]) => state === "idle")?.[0];
    const starting = states.filter(([, state]) => state === "starting").length;
    if (idle === undefined) {
      if (states.length < this.#limit && starting < this.#queue.length) this.#start();
      return;
    }
    const job = this.#queue.shift();
    if (job === undefined) return;
    this.#workers.set(idle, job);
    idle.postMessage(job.task);
  }

  #start(): void {
    // A small young generation: buffers die young and are large, so a big one would only hold memory.
    const worker = new Worker(WORKER, {
      workerData: { progress: this.#progress, stop: this.#stop } satisfies WorkerShares,
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    this.#workers.set(worker, "starting");
    worker.on("message", (reply: WorkerReply) => {
      const job = this.#jobOf(worker);
      if (reply !== "ready") {
        if ("result" in reply) job?.resolve(reply.result);
        else job?.reject(unpackError(reply.error));
      }
      this.#isIdle(worker);
    });
    worker.on("error", (error: Error) => this.#lost(worker, error));
    worker.on("exit", () => this.#lost(worker, new Error("an unpacking thread ended before its layer was done")));
  }

  #isIdle(worker: Worker): void {
    this.#workers.set(worker, "idle");
    this.#next();
  }

  #jobOf(worker: Worker): Job | null {
    const state = this.#workers.get(worker);
    return typeof state === "object" ? state : null;
  }

  #lost(worker: Worker, error: Error): void {
    const job = this.#workers.get(worker) === "starting" ? this.#queue.shift() : this.#jobOf(worker);
    this.#workers.delete(worker);
    job?.reject(error); // of one that cannot even start a job that waits, so that this comes to an end
    this.#next();
  }
}

function disposed(): Error {
  return new Error("the pool has been disposed");
}
