/** A bound on what is under way at once, for work that holds descriptors or memory. */

/** Hands out a number of slots, in the order they are asked for. */
export class Slots {
  #free: number;
  readonly #waiting: ((slot: Disposable) => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Fulfilled when it is the caller's turn. Disposing gives the slot to the next. */
  take(): Promise<Disposable> {
    if (this.#free === 0) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#free -= 1;
    return Promise.resolve(this.#slot());
  }

  #slot(): Disposable {
    return {
      [Symbol.dispose]: () => {
        const next = this.#waiting.shift();
        if (next === undefined) this.#free += 1;
        else next(this.#slot());
      },
    };
  }
}
