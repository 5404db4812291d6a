/** Threads that unpack layers side by side. */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { UnpackResult, UnpackTask } from "./unpack-layer.ts";
import { unpackError, type WorkerReply } from "./worker-messages.ts";

/** The bundle has the worker beside it; a checkout runs the source. */
const WORKER = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./apply-worker.cjs", import.meta.url);

interface Job {
  readonly task: UnpackTask;
  readonly resolve: (result: UnpackResult) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Unpacks tasks on as many threads as there are cores, in the order they are given. Threads start when they are first
 * needed. Disposing ends them at once, work in progress included.
 */
export class WorkerPool implements AsyncDisposable {
  readonly #limit: number;
  readonly #workers = new Map<Worker, Job | null>();
  readonly #queue: Job[] = [];
  readonly #progress = new SharedArrayBuffer(8);
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
    return new Promise((resolve, reject) => {
      this.#queue.push({ task, resolve, reject });
      this.#next();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    const workers = [...this.#workers.keys()];
    await Promise.all(workers.map((worker) => worker.terminate()));
    for (const job of this.#queue.splice(0)) job.reject(new Error("the pool has been disposed"));
  }

  #next(): void {
    if (this.#ended) return;
    const worker = this.#idleWorker();
    if (worker === null) return;
    const job = this.#queue.shift();
    if (job === undefined) return;
    this.#workers.set(worker, job);
    worker.postMessage(job.task);
  }

  #idleWorker(): Worker | null {
    if (this.#queue.length === 0) return null;
    for (const [worker, job] of this.#workers) if (job === null) return worker;
    return this.#workers.size < this.#limit ? this.#start() : null;
  }

  #start(): Worker {
    // A small young generation: buffers die young and are large, so a big one would only hold memory.
    const worker = new Worker(WORKER, {
      workerData: { progress: this.#progress },
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    });
    this.#workers.set(worker, null);
    worker.on("message", (reply: WorkerReply) => {
      const job = this.#workers.get(worker);
      this.#workers.set(worker, null);
      if ("result" in reply) job?.resolve(reply.result);
      else job?.reject(unpackError(reply.error));
      this.#next();
    });
    worker.on("error", (error: Error) => this.#lost(worker, error));
    worker.on("exit", () => this.#lost(worker, new Error("an unpacking thread ended before its layer was done")));
    return worker;
  }

  #lost(worker: Worker, error: Error): void {
    const job = this.#workers.get(worker);
    this.#workers.delete(worker);
    job?.reject(error);
    this.#next();
  }
}
