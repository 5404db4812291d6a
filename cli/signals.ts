/**
 * SIGINT and SIGTERM: the first aborts, so that the command cleans up and ends with 130 or 143; the second ends the
 * process. Handlers run between pieces of work only, so long synchronous work lets the signals have their own effect.
 */

import { Cancelled } from "./errors.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** What stops a command. */
export class Cancellation {
  readonly #controller = new AbortController();
  readonly #listeners = SIGNALS.map((name) => [name, () => this.#cancel(name)] as const);

  constructor() {
    this.#listen();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Does synchronous work that has nothing to clean up: meanwhile a signal ends the process at once. */
  endOnSignal<T>(work: () => T): T {
    this.#ignore();
    try {
      return work();
    } finally {
      if (!this.signal.aborted) this.#listen();
    }
  }

  #cancel(name: (typeof SIGNALS)[number]): void {
    this.#ignore(); // the signals' own effect is back
    this.#controller.abort(new Cancelled(name));
  }

  #listen(): void {
    for (const [name, listener] of this.#listeners) process.on(name, listener);
  }

  #ignore(): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }
}
