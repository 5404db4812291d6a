/** The user's terminal, joined with a container's: bytes both ways, the size, and raw mode while it lasts. */

import { ReadStream } from "node:tty";
import { isErrno } from "../src/errors.ts";
import { OrderedWriter } from "../src/ordered-writer.ts";
import { copyWindowSize, makeRaw } from "../src/sys/terminal.ts";
import { DetachFilter } from "./detach-keys.ts";
import { STDOUT, writeBytes } from "./output.ts";

const STDIN = 0;

/** Standard input, a terminal, in raw mode until it is disposed; what is typed goes to `onInput`. */
export class UserTerminal implements Disposable {
  /** Settles when the user has typed the detach keys; nothing is passed on after them. */
  readonly detached: Promise<void>;
  readonly #input: ReadStream;
  readonly #raw: Disposable;

  constructor(detachKeys: Buffer, onInput: (bytes: Buffer) => void) {
    const filter = new DetachFilter(detachKeys);
    this.#input = new ReadStream(STDIN);
    this.#raw = makeRaw(STDIN);
    this.detached = new Promise((resolve) => {
      this.#input.on("data", (typed: Buffer) => {
        const { bytes, isDetached } = filter.take(typed);
        if (bytes.length > 0) onInput(bytes);
        if (!isDetached) return;
        this.#input.pause();
        resolve();
      });
    });
  }

  [Symbol.dispose](): void {
    this.#raw[Symbol.dispose]();
    this.#input.destroy();
  }
}

/** Calls `onResize` now, and whenever the user's terminal has another size, until it is disposed. */
export function onWindowSize(onResize: () => void): Disposable {
  onResize();
  process.on("SIGWINCH", onResize);
  return { [Symbol.dispose]: () => void process.off("SIGWINCH", onResize) };
}

/**
 * Joins the terminal whose master is `master` with standard input (if `detachKeys` are given) and output. Disposing gives the
 * user's terminal back as it was.
 */
export class TerminalRelay implements Disposable {
  /** Settles when the container's side has hung up. */
  readonly ended: Promise<void>;
  /** As the `UserTerminal`'s; never without one. */
  readonly detached: Promise<void>;
  readonly #stack = new DisposableStack();

  constructor(master: number, detachKeys: Buffer | null) {
    const theirs = new ReadStream(master);
    this.ended = new Promise((resolve) => {
      theirs.on("data", (bytes: Buffer) => writeBytes(STDOUT, bytes));
      theirs.on("error", (error) => {
        if (!isErrno(error, "EIO")) throw error; // what the kernel says when the last process has closed its side
        resolve();
      });
      theirs.on("close", resolve);
    });
    this.#stack.use(onWindowSize(() => copyWindowSize(STDOUT, master)));
    const writer = new OrderedWriter(master);
    const user = detachKeys === null ? null : new UserTerminal(detachKeys, (bytes) => writer.write(bytes));
    if (user !== null) this.#stack.use(user);
    this.detached = user?.detached ?? new Promise(() => {});
  }

  [Symbol.dispose](): void {
    this.#stack[Symbol.dispose]();
  }
}
