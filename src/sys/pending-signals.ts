/** Which signals wait for a thread (`/proc/PID/status`, proc(5)). */

import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { isSystemError } from "../errors.ts";

const { SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM, SIGCHLD, SIGCONT, SIGURG, SIGWINCH } = constants.signals;
const bit = (signal: number): bigint => 1n << BigInt(signal - 1);
const maskOf = (signals: readonly number[]): bigint => signals.reduce((mask, signal) => mask | bit(signal), 0n);
/** By which people and programs end others, whether or not those clean up first. */
const ENDING = maskOf([SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM]);
/** What they do by default is nothing. */
const HARMLESS = maskOf([SIGCHLD, SIGCONT, SIGURG, SIGWINCH]);

/** True if a signal waits for the thread `pid` that ends it, or is meant to; true also if nothing can be found out. */
export function isToEnd(pid: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "latin1");
  } catch (error) {
    if (isSystemError(error)) return true;
    throw error;
  }
  const mask = (name: string): bigint =>
    BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1] ?? "0"}`);
  const pending = (mask("SigPnd") | mask("ShdPnd")) & ~mask("SigIgn");
  const fatal = pending & ~mask("SigCgt") & ~HARMLESS;
  return fatal !== 0n || (pending & ENDING) !== 0n;
}
