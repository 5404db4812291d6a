/** Writes to a descriptor that may make the writer wait, piece after piece. */

import { write } from "node:fs";

export class OrderedWriter {
  readonly #fd: number;
  #last: Promise<void> = Promise.resolve();

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Writes all of `bytes` behind what was given before. What the other side does not take any more is lost. */
  write(bytes: Buffer): void {
    this.#last = this.#last.then(() => this.#writeAll(bytes));
  }

  /** Settles when all that was given until now has been written. */
  get done(): Promise<void> {
    return this.#last;
  }

  #writeAll(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      write(this.#fd, bytes, (error, size) => {
        if (error !== null || size === bytes.length) resolve();
        else void this.#writeAll(bytes.subarray(size)).then(resolve);
      });
    });
  }
}
