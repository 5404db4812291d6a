/**
 * SIGINT, SIGTERM and SIGHUP: the first aborts, so that the command cleans up and ends with 130, 143 or 129; another SIGINT
 * or SIGTERM ends the process. Another SIGHUP does not: when a terminal closes, its shell and the kernel each send one.
 * Handlers run between pieces of work only, so long synchronous work lets the signals have their own effect.
 */

import { Cancelled, type CancellingSignal } from "./errors.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What a program can be told from outside; SIGPIPE and the like are about this process. */
const FORWARDED: readonly NodeJS.Signals[] = [...SIGNALS, "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGCONT", "SIGALRM"];

const ignore = (): void => {};

/** What stops a command. */
export class Cancellation {
  readonly #controller = new AbortController();
  readonly #listeners: readonly (readonly [CancellingSignal, () => void])[];

  /** `ignoresHangup`: whoever started the process wants it to outlive the terminal (nohup(1)). */
  constructor(ignoresHangup = false) {
    const heard = SIGNALS.filter((name) => name !== "SIGHUP" || !ignoresHangup);
    if (ignoresHangup) process.on("SIGHUP", ignore);
    this.#listeners = heard.map((name) => [name, () => this.#cancel(name)]);
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

  /** Hands every signal that a program may want to `take` instead, until the result is disposed. */
  passOn(take: (name: NodeJS.Signals) => void): Disposable {
    this.#ignore();
    for (const name of FORWARDED) process.on(name, take);
    return {
      [Symbol.dispose]: () => {
        for (const name of FORWARDED) process.off(name, take);
        if (!this.signal.aborted) this.#listen();
      },
    };
  }

  #cancel(name: CancellingSignal): void {
    process.on("SIGHUP", ignore);
    this.#ignore(); // the other signals' own effect is back
    this.#controller.abort(new Cancelled(name));
  }

  #listen(): void {
    for (const [name, listener] of this.#listeners) process.on(name, listener);
  }

  #ignore(): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }
}
