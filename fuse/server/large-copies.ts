/**
 * Large files are copied up beside the other requests: a thread of its own copies the content into the workdir, and the
 * requests that need the copy wait for it, here. Then they are answered as if they came now, and find the content there
 * (`Union.prepared`). Until then nothing is seen of the copy, so that meanwhile the file may be read, renamed away, removed or
 * truncated. Everything else stays with the one thread that serves.
 */

import { Worker } from "node:worker_threads";
import { reflink } from "../../src/sys/copy.ts";
import * as file from "../../src/sys/file.ts";
import { drain, makePipe } from "../../src/sys/pipe.ts";
import { statAt } from "../../src/sys/stat.ts";
import type { Request } from "../protocol/request.ts";
import { openContent } from "../union/content.ts";
import type { Node } from "../union/node.ts";
import type { Union } from "../union/union.ts";
import { discard, type Upper } from "../union/workdir.ts";
import { nodeToCopy } from "./copies-needed.ts";
import { COPIED, COPYING, type CopyTask, type CopyThreadData } from "./copy-thread.ts";

/** The bundle has the thread beside it; a checkout runs the source. */
const THREAD = new URL(import.meta.url.endsWith(".ts") ? "./copy-thread.ts" : "./fuse-copy.cjs", import.meta.url);

/** From this size on a copy is worth a thread: less is done in a millisecond or two. */
const LARGE_BYTES = 4 << 20;

/** A request that waits. */
export interface Waiting {
  readonly bytes: Buffer;
  readonly unique: string;
  readonly pid: number;
  readonly sinceMs: number;
}

interface Copy {
  readonly node: Node;
  readonly task: CopyTask;
  readonly temporary: string;
  readonly state: Int32Array;
  waiting: readonly Waiting[];
}

/** A copy that is over: who waited for it, and why there is none. */
export interface Finished {
  readonly node: Node;
  readonly waiting: readonly Waiting[];
  /** 0, or what the requests are to be answered with. */
  readonly errno: number;
}

/** Disposing ends what is under way, and waits for that. */
export class LargeCopies implements Disposable {
  readonly #union: Union;
  #copies: readonly Copy[] = [];
  #thread: { readonly worker: Worker; readonly wakeFd: number; readonly ended: Int32Array } | null = null;

  constructor(union: Union) {
    this.#union = union;
  }

  get isBusy(): boolean {
    return this.#copies.length > 0;
  }

  /** Becomes readable when a copy is over. */
  get wakeFd(): number {
    return this.#thread?.wakeFd ?? -1;
  }

  /** True if the request must wait, and was kept. @throws MalformedRequest, PosixError */
  keep(request: Request, sizeBytes: number): boolean {
    const node = nodeToCopy(this.#union, request, LARGE_BYTES);
    if (node === null) return false;
    const copy = this.#copies.find((each) => each.node === node && !isCancelled(each)) ?? this.#begin(node);
    if (copy === null) return false;
    const bytes = Buffer.from(request.buffer.subarray(0, sizeBytes));
    const unique = uniqueOf(request.uniqueLow, request.uniqueHigh);
    copy.waiting = [...copy.waiting, { bytes, unique, pid: request.pid, sinceMs: performance.now() }];
    return true;
  }

  /** The waiting request that INTERRUPT means, which waits no more if `isToEnd` says so of its caller; null if there is none. */
  interrupt(request: Request, isToEnd: (pid: number) => boolean): Waiting | null {
    const unique = uniqueOf(request.u32(0), request.u32(4));
    for (const copy of this.#copies) {
      const meant = copy.waiting.find((each) => each.unique === unique);
      if (meant === undefined) continue;
      if (!isToEnd(meant.pid)) return null;
      copy.waiting = copy.waiting.filter((each) => each !== meant);
      if (copy.waiting.length === 0) Atomics.store(copy.state, 1, 1);
      return meant;
    }
    return null;
  }

  /** The copies that are over. What is prepared must be used now, or dropped (`drop`). */
  takeFinished(): readonly Finished[] {
    if (this.#thread !== null) drain(this.#thread.wakeFd);
    const over = this.#copies.filter(({ state }) => Atomics.load(state, 0) !== COPYING);
    this.#copies = this.#copies.filter((copy) => !over.includes(copy));
    return over.map((copy) => this.#finish(copy));
  }

  /** Removes a prepared content that nobody has used. */
  drop(node: Node): void {
    const name = this.#union.prepared.get(node);
    this.#union.prepared.delete(node);
    if (name !== undefined) discard(this.#union.writable(), name);
  }

  [Symbol.dispose](): void {
    for (const { state } of this.#copies) Atomics.store(state, 1, 1);
    for (const { state } of this.#copies) Atomics.wait(state, 0, COPYING);
    for (const { node } of this.takeFinished()) this.drop(node);
    if (this.#thread === null) return;
    this.#thread.worker.postMessage("end");
    Atomics.wait(this.#thread.ended, 0, 0); // one that is terminated inside a call of libc takes the process with it
    this.#thread = null;
  }

  /** Null if it is there at once, because the file system shares extents. */
  #begin(node: Node): Copy | null {
    const upper = this.#union.writable();
    const temporary = upper.temporaryName();
    const from = openContent(this.#union, node);
    let to = -1;
    try {
      const stat = statAt(from, null);
      to = file.openAt(upper.work.fd, temporary, file.O_CREAT | file.O_EXCL | file.O_RDWR, 0o600);
      if (isShared(upper, from, to, `${stat.devMajor}:${stat.devMinor}`)) {
        file.close(to);
        file.close(from);
        this.#union.prepared.set(node, temporary);
        return null;
      }
      const { sizeBytes, blocks512, devMajor, devMinor } = stat;
      const state = new SharedArrayBuffer(8);
      const isVolatile = this.#union.options.volatile;
      const task = { from, to, stat: { sizeBytes, blocks512, devMajor, devMinor }, isVolatile, state };
      this.#threadNow().postMessage(task);
      const copy = { node, task, temporary, state: new Int32Array(state), waiting: [] };
      this.#copies = [...this.#copies, copy];
      return copy;
    } catch (error) {
      file.close(from);
      if (to >= 0) {
        file.close(to);
        discard(upper, temporary);
      }
      throw error;
    }
  }

  #threadNow(): Worker {
    if (this.#thread === null) {
      const [wakeFd, writeFd] = makePipe();
      const ended = new Int32Array(new SharedArrayBuffer(4));
      const worker = new Worker(THREAD, { workerData: { wakeFd: writeFd, ended } satisfies CopyThreadData });
      this.#thread = { worker, wakeFd, ended };
    }
    return this.#thread.worker;
  }

  #finish({ node, task, temporary, state, waiting }: Copy): Finished {
    file.close(task.from);
    file.close(task.to);
    const result = Atomics.load(state, 0);
    const isUsable = result === COPIED && waiting.length > 0 && !node.upper;
    if (isUsable) this.#union.prepared.set(node, temporary);
    else discard(this.#union.writable(), temporary);
    return { node, waiting, errno: result === COPIED || node.upper ? 0 : -result };
  }
}

function isCancelled({ state }: Copy): boolean {
  return Atomics.load(state, 1) !== 0;
}

function uniqueOf(low: number, high: number): string {
  return `${high}:${low}`;
}

/** Makes `to` share the extents of `from`, unless it is known that files of that device cannot. */
function isShared({ cannotShare }: Upper, from: number, to: number, device: string): boolean {
  if (cannotShare.has(device)) return false;
  if (reflink(from, to)) return true;
  cannotShare.add(device);
  return false;
}
