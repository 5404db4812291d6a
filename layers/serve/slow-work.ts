/**
 * What takes long is done in a thread of its own, so that no caller waits for it: trees are measured and removed, the database
 * is brought up to its log. One thing at a time, in the order they were asked for.
 */

import { Worker } from "node:worker_threads";
import type { HostPath } from "../../src/paths.ts";
import { type PackedError, unpackError } from "../../src/thread-errors.ts";

/** The bundle has the worker beside it; a checkout runs the source. */
const WORKER = new URL(import.meta.url.endsWith(".ts") ? "./slow-worker.ts" : "./slow-worker.cjs", import.meta.url);

export interface TreeSize {
  /** What the tree takes on the disk, directories included: as containerd counts. */
  readonly diskBytes: number;
  /** The data in its regular files: as a layer's row counts. */
  readonly dataBytes: number;
  readonly inodes: number;
}

export interface SlowTask {
  readonly id: number;
  readonly kind: "measure" | "remove" | "checkpoint" | "restart-log";
  /** A tree, or the database. */
  readonly path: HostPath;
}

/** Of `measure` the size, of `checkpoint` whether the log is long. */
export type SlowResult = TreeSize | boolean | null;

export type SlowReply =
  | { readonly id: number; readonly result: SlowResult }
  | { readonly id: number; readonly error: PackedError };

interface Waiting {
  readonly resolve: (result: SlowResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Disposing waits for what was asked for. The thread starts at the first task. */
export class SlowWork implements AsyncDisposable {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #lastId = 0;
  #whenIdle: (() => void) | null = null;

  /** @throws a system error, `ENOENT` if the tree goes away meanwhile */
  async measure(path: HostPath): Promise<TreeSize> {
    const size = await this.#ask("measure", path);
    if (size === null || typeof size === "boolean") throw new Error("a tree was measured and has no size");
    return size;
  }

  /** Nothing there is fine. @throws a system error */
  async remove(path: HostPath): Promise<void> {
    await this.#ask("remove", path);
  }

  /** Copies the database's log into it, and gives what `Database.checkpoint` returns. @throws as `openDatabase` */
  async checkpoint(database: HostPath): Promise<boolean> {
    return (await this.#ask("checkpoint", database)) === true;
  }

  /** Begins the database's log anew, as `Database.restartLog`. @throws as `openDatabase` */
  async restartLog(database: HostPath): Promise<void> {
    await this.#ask("restart-log", database);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#waiting.size > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    await this.#worker?.terminate();
    this.#worker = null;
  }

  #ask(kind: SlowTask["kind"], path: HostPath): Promise<SlowResult> {
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      this.#waiting.set(this.#lastId, { resolve, reject });
      this.#worker ??= this.#start();
      this.#worker.postMessage({ id: this.#lastId, kind, path } satisfies SlowTask);
    });
  }

  #start(): Worker {
    const worker = new Worker(WORKER);
    worker.unref();
    worker.on("message", (reply: SlowReply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ("error" in reply) waiting?.reject(unpackError(reply.error));
      else waiting?.resolve(reply.result);
      if (this.#waiting.size === 0) this.#whenIdle?.();
    });
    worker.on("error", (error) => {
      this.#worker = null; // the next task starts another one
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
      this.#whenIdle?.();
    });
    return worker;
  }
}
