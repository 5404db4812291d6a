/** Terminals. */

import { isSystemError } from "../errors.ts";
import { controlFile } from "./data.ts";
import { declare } from "./libc.ts";

const isatty = declare("int isatty(int fd)");

/** True if `fd` is a terminal. `process.stderr` knows as well, and takes 4 ms to be made. */
export function isTerminal(fd: number): boolean {
  return isatty(fd) === 1;
}

const TIOCSPTLCK = 0x4004_5431;
const TIOCGWINSZ = 0x5413;
const TIOCSWINSZ = 0x5414;

/** Lets the other end of a pseudoterminal be opened (unlockpt(3)). @throws PosixError */
export function unlockTerminal(master: number): void {
  controlFile(master, TIOCSPTLCK, Buffer.alloc(4));
}

/** Gives one terminal the size of another. Best effort: a terminal need not know its size. */
export function copyWindowSize(from: number, to: number): void {
  const size = Buffer.alloc(8); // struct winsize
  try {
    controlFile(from, TIOCGWINSZ, size);
    controlFile(to, TIOCSWINSZ, size);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}
