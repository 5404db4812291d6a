/** What a program is told of an operation that failed, and what the log is. */

import { isSystemError } from "../../src/errors.ts";
import type { LogFields, Logger } from "../../src/log.ts";
import { MalformedRequest } from "../protocol/request.ts";
import { ERRNO } from "../union/errno.ts";
import type { Counters } from "./counters.ts";

/** What is wrong with the host or a layer rather than with the request: whoever runs the server is to hear of it. */
const TROUBLE: ReadonlySet<string> = new Set([
  "EIO",
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "ESTALE",
  "EUCLEAN",
  "EDQUOT",
  "ENOSPC",
]);
/** Of each kind one line in this time: a program may go on asking. */
const QUIET_MS = 10_000;
const toldAt = new Map<string, number>();

/** True if a failure is to be told. */
function isTrouble(code: string): boolean {
  if (!TROUBLE.has(code)) return false;
  const now = performance.now();
  if (now - (toldAt.get(code) ?? -QUIET_MS) < QUIET_MS) return false;
  toldAt.set(code, now);
  return true;
}

/** The errno (positive) of what an operation threw. What has none is a mistake of ours: EIO, and said. `what` tells which. */
export function errnoOf(
  error: unknown,
  what: LogFields,
  { log, counters }: { readonly log: Logger; readonly counters: Counters },
): number {
  if (isSystemError(error) && Math.abs(error.errno) > 0) {
    log[isTrouble(error.code) ? "warn" : "debug"]("fuse.failed", { ...what, code: error.code, path: error.path });
    return Math.abs(error.errno);
  }
  counters.addError();
  const text = error instanceof MalformedRequest ? error.message : error instanceof Error ? error.stack : String(error);
  log.error("fuse.request.failed", { ...what, what: text });
  return ERRNO.EIO;
}
