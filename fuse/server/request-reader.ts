/**
 * Waits for the kernel's requests. Who sleeps has to be woken, which takes longer than most answers: so while one request
 * follows another the next is looked for for a moment, before the thread sleeps. Between two looks it offers the CPU to
 * whoever wants it; where that is somebody else than who makes the requests, looking would be in the way, and ends for a
 * while.
 */

import { performance } from "node:perf_hooks";
import { readRequest, readRequestNow, setWaiting, waitForRequest } from "../../src/sys/fuse-device.ts";
import { yieldCpu } from "../../src/sys/thread.ts";

/** How long a request is looked for: a program does not do much between two calls. */
const LOOK_MS = 0.06;
/** Requests that came so soon, one after another, make looking worthwhile; waking included. */
const [SOON_MS, MANY] = [0.1, 16];
/** So many times in vain, and it is not any more. */
const PATIENCE = 3;
/** The CPU was in other hands: longer than a look without a request, or longer than any. */
const [SLOW_MS, TOO_SLOW_MS] = [0.05, 0.5];
/** Looking then rests so many times as long: that is what it may cost, in all. */
const REST = 20;

export class RequestReader {
  readonly #device: number;
  readonly #buffer: Uint8Array;
  #isLooking = false;
  /** Requests that came soon, in a row. */
  #soon = 0;
  /** Looks in vain, in a row. */
  #vain = 0;
  #restUntilMs = 0;

  constructor(device: number, buffer: Uint8Array) {
    this.#device = device;
    this.#buffer = buffer;
  }

  /** The next request, in the buffer: its size, or 0 when the mount is gone. @throws PosixError */
  read(): number {
    if (!this.#isLooking) return this.#sleep();
    const taken = readRequestNow(this.#device, this.#buffer);
    if (taken >= 0) return taken;
    const found = this.#look();
    if (found >= 0) return found;
    return this.#isLooking ? waitForRequest(this.#device, this.#buffer) : readRequest(this.#device, this.#buffer);
  }

  #sleep(): number {
    const before = performance.now();
    const size = readRequest(this.#device, this.#buffer);
    const after = performance.now();
    this.#soon = after - before < SOON_MS ? this.#soon + 1 : 0;
    if (this.#soon >= MANY && after > this.#restUntilMs) this.#setLooking(true);
    return size;
  }

  /** Before another reads from the device: reading waits again. */
  stopLooking(): void {
    if (this.#isLooking) this.#setLooking(false);
  }

  /** -1 if it is in vain. */
  #look(): number {
    let at = performance.now();
    for (const until = at + LOOK_MS; at < until; ) {
      yieldCpu();
      const size = readRequestNow(this.#device, this.#buffer);
      const now = performance.now();
      const tookMs = now - at;
      at = now;
      if (tookMs > TOO_SLOW_MS || (tookMs > SLOW_MS && size < 0)) this.#rest(now, tookMs);
      if (size >= 0) this.#vain = 0;
      if (size >= 0 || !this.#isLooking) return size;
    }
    this.#vain += 1;
    if (this.#vain >= PATIENCE) this.#setLooking(false);
    return -1;
  }

  #rest(nowMs: number, tookMs: number): void {
    this.#restUntilMs = nowMs + REST * tookMs;
    this.#setLooking(false);
  }

  #setLooking(isLooking: boolean): void {
    setWaiting(this.#device, !isLooking);
    this.#isLooking = isLooking;
    this.#soon = 0;
    this.#vain = 0;
  }
}
