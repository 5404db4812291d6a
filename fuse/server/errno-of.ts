/** What a program is told of an operation that failed, and what the log is. */

import { isSystemError } from "../../src/errors.ts";
import type { LogFields, Logger } from "../../src/log.ts";
import { MalformedRequest } from "../protocol/request.ts";
import { ERRNO } from "../union/errno.ts";
import type { Counters } from "./counters.ts";

/** The errno (positive) of what an operation threw. What has none is a mistake of ours: EIO, and said. `what` tells which. */
export function errnoOf(
  error: unknown,
  what: LogFields,
  { log, counters }: { readonly log: Logger; readonly counters: Counters },
): number {
  if (isSystemError(error) && Math.abs(error.errno) > 0) {
    log.debug("fuse.failed", { ...what, code: error.code, path: error.path });
    return Math.abs(error.errno);
  }
  counters.addError();
  const text = error instanceof MalformedRequest ? error.message : error instanceof Error ? error.stack : String(error);
  log.error("fuse.request.failed", { ...what, what: text });
  return ERRNO.EIO;
}
