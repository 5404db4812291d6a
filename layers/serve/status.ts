/** The gRPC status of an error (google.rpc.Code), as containerd's clients know them (errdefs). */

import {
  ConflictError,
  isErrno,
  LayerctlError,
  NotFoundError,
  UnsupportedError,
  UsageError,
} from "../../src/errors.ts";

/** The codes that are answered, by their names. */
export const CODE = {
  OK: 0,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
} as const;
export type CodeName = keyof typeof CODE;

/** The status that says what a client can do about an error. */
export function statusOf(error: unknown): CodeName {
  if (error instanceof NotFoundError) return "NOT_FOUND";
  if (error instanceof UsageError) return "INVALID_ARGUMENT";
  if (error instanceof ConflictError) {
    if (error.code === "ERR_SNAPSHOT_EXISTS") return "ALREADY_EXISTS";
    return error.code === "ERR_STORE_BUSY" ? "UNAVAILABLE" : "FAILED_PRECONDITION";
  }
  if (error instanceof UnsupportedError) return "UNIMPLEMENTED";
  return isErrno(error, "ENOSPC", "EDQUOT", "EMFILE", "ENFILE") ? "RESOURCE_EXHAUSTED" : "UNKNOWN";
}

/** True for what a client may do wrong or be unlucky with: no news for a log. */
export function isExpected(error: unknown): boolean {
  return error instanceof LayerctlError;
}
