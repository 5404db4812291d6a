/**
 * fork(2) of a thread that runs JavaScript. Only for a process that was started for it (`FORKABLE`): the child has one thread
 * and a copy of the memory, and V8 must not count on threads that are not there. The child does a few system calls and ends,
 * or becomes another program; it never returns to the event loop.
 */

import { openSync, readSync } from "node:fs";
import { check, declare } from "./libc.ts";

/** What node is started with if it is to fork: no other thread works on the heap. */
export const FORKABLE = ["--single-threaded", "--v8-pool-size=0"];

const forkCall = declare("int fork()");
const exitCall = declare("void _exit(int code)");
const madvise = declare("int madvise(uint64_t address, size_t length, int advice)");

const MADV_DOFORK = 11;
/** Of the list of mappings: a hundred lines of a hundred bytes each. */
const MOST_BYTES = 256 * 1024;
/** Looking at the mappings makes new ones, the first times. */
const PASSES = 4;

/**
 * fork(2) as a function: 0 in the child, in the parent its process id. The child may find no memory at an address and die of
 * SIGSEGV, rarely: the caller tries again. It is to be made while /proc is the one in which this process is.
 */
export function forker(): () => number {
  const mappings = openSync("/proc/self/maps", "r");
  const buffer = Buffer.alloc(MOST_BYTES);
  return () => {
    for (let pass = 0; pass < PASSES; pass++) keepMemoryInChildren(mappings, buffer);
    return check(forkCall(), "fork");
  };
}

/** V8 keeps its heap out of children (MADV_DONTFORK), which makes the fork before an exec cheap. */
function keepMemoryInChildren(mappings: number, buffer: Buffer): void {
  let size = 0;
  for (let more = 1; more > 0; size += more) more = readSync(mappings, buffer, size, buffer.length - size, size);
  for (const line of buffer.toString("latin1", 0, size).split("\n")) {
    const [, from, to] = /^([0-9a-f]{1,15})-([0-9a-f]+) /.exec(line) ?? [];
    if (from === undefined || to === undefined) continue;
    const address = BigInt(`0x${from}`);
    madvise(address, BigInt(`0x${to}`) - address, MADV_DOFORK); // refused for what no process can copy
  }
}

/** _exit(2): ends the process at once, and nothing of node's own is done. */
export function exitNow(code: number): void {
  exitCall(code);
}
