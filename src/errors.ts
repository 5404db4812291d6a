/**
 * The error classes of layerctl. The class says what a caller can do about it and fixes the exit code; `code` says
 * what happened and is public API; `data` carries the values. `src/sys`, `src/overlay` and `fuse` speak errno instead:
 * Node's own system errors or `PosixError`, which has the same shape.
 */

import { constants } from "node:os";

/** Values that belong to an error: names to strings, numbers or lists, never file contents. */
export type ErrorData = Readonly<Record<string, unknown>>;

/** What every class below shares. Catch it to tell an expected failure from a bug. */
export abstract class LayerctlError extends Error {
  abstract readonly exitCode: number;
  readonly code: string;
  readonly data: ErrorData;

  constructor(code: string, message: string, options: { data?: ErrorData; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.data = options.data ?? {};
  }
}

/** Bad flags or arguments. */
export class UsageError extends LayerctlError {
  readonly exitCode = 2;
}
/** No such blob, image, snapshot, file. */
export class NotFoundError extends LayerctlError {
  readonly exitCode = 3;
}
/** It exists already, is in use, or is in the wrong state. */
export class ConflictError extends LayerctlError {
  readonly exitCode = 4;
}
/** Digest or size mismatch; malformed or hostile input. */
export class IntegrityError extends LayerctlError {
  readonly exitCode = 5;
}
/** This host, kernel or media type cannot. */
export class UnsupportedError extends LayerctlError {
  readonly exitCode = 6;
}

/** A libc call that failed, in the shape of Node's own system errors: `code` "EXDEV", `errno` negative. */
export class PosixError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly path?: string;

  constructor(errno: number, syscall: string, path?: string) {
    const code = errnoName(errno);
    super(`${code}: ${syscall}${path === undefined ? "" : ` '${path}'`}`);
    this.name = "PosixError";
    this.code = code;
    this.errno = -errno;
    this.syscall = syscall;
    if (path !== undefined) this.path = path;
  }
}

/** The shape that Node's system errors and `PosixError` share. */
export interface SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall?: string;
  readonly path?: string;
}

/** True for errors that carry an errno: Node's own and `PosixError`. */
export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && "errno" in error && "code" in error && typeof error.code === "string";
}

/**
 * What to throw for `error`, which came of writing to `path` (as text): a call on an open file names no path, one below an
 * open directory only the rest of it. What was read, and what has a whole path, comes back as it is.
 */
export function whileWriting(path: string, error: unknown): unknown {
  if (!isSystemError(error) || error.syscall === "read" || error.path?.startsWith("/")) return error;
  return new PosixError(-error.errno, error.syscall ?? "write", path);
}

/** True if `error` is a system error with one of `codes` ("ENOENT", …). */
export function isErrno(error: unknown, ...codes: readonly string[]): error is SystemError {
  return isSystemError(error) && codes.includes(error.code);
}

let names: Map<number, string> | undefined;

/** "ENOENT" for 2; "E999" for a number without a name. */
export function errnoName(errno: number): string {
  names ??= new Map(
    Object.entries(constants.errno)
      .filter(([name]) => name !== "EWOULDBLOCK" && name !== "EOPNOTSUPP") // the same numbers as EAGAIN and ENOTSUP
      .map(([name, value]) => [value, name]),
  );
  return names.get(errno) ?? `E${errno}`;
}

/** Ends a switch over a union: a case that is missing is a compile error. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`);
}
