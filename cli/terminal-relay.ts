/** The user's terminal and the container's, joined: bytes both ways, the size, and raw mode while it lasts. */

import { write as writeAsync } from "node:fs";
import { ReadStream } from "node:tty";
import { isErrno } from "../src/errors.ts";
import { copyWindowSize, makeRaw } from "../src/sys/terminal.ts";
import { STDOUT, writeBytes } from "./output.ts";

const STDIN = 0;

/**
 * Joins the terminal whose master is `master`, which it closes, with standard input (if `isInteractive`) and output. The
 * result settles when the container's side has hung up, and disposing gives the user's terminal back as it was.
 */
export class TerminalRelay implements Disposable {
  readonly ended: Promise<void>;
  readonly #input: ReadStream | null;
  readonly #raw: Disposable | null;
  readonly #resize: () => void;

  constructor(master: number, isInteractive: boolean) {
    const theirs = new ReadStream(master);
    this.ended = new Promise((resolve) => {
      theirs.on("data", (bytes: Buffer) => writeBytes(STDOUT, bytes));
      theirs.on("error", (error) => {
        if (!isErrno(error, "EIO")) throw error; // what the kernel says when the last process has closed its side
        resolve();
      });
      theirs.on("close", resolve);
    });
    this.#resize = () => copyWindowSize(STDOUT, master);
    this.#resize();
    process.on("SIGWINCH", this.#resize);
    this.#input = isInteractive ? new ReadStream(STDIN) : null;
    this.#raw = isInteractive ? makeRaw(STDIN) : null;
    this.#input?.on("data", (bytes: Buffer) => writeAsync(master, bytes, () => {})); // it may have ended
  }

  [Symbol.dispose](): void {
    process.off("SIGWINCH", this.#resize);
    this.#raw?.[Symbol.dispose]();
    this.#input?.destroy();
  }
}
