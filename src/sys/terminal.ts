/** Terminals. */

import { declare } from "./libc.ts";

const isatty = declare("int isatty(int fd)");

/** True if `fd` is a terminal. `process.stderr` knows as well, and takes 4 ms to be made. */
export function isTerminal(fd: number): boolean {
  return isatty(fd) === 1;
}
