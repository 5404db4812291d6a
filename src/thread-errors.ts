/** Errors that cross between threads: structured cloning keeps no classes, so they are taken apart and rebuilt. */

import {
  assertNever,
  ConflictError,
  type ErrorData,
  IntegrityError,
  isSystemError,
  LayerctlError,
  NotFoundError,
  PosixError,
  UnsupportedError,
  UsageError,
} from "./errors.ts";

/** An error as data. */
export type PackedError =
  | {
      readonly kind: "layerctl";
      readonly name: string;
      readonly code: string;
      readonly message: string;
      readonly data: ErrorData;
    }
  | { readonly kind: "system"; readonly errno: number; readonly syscall: string; readonly path: string | undefined }
  | { readonly kind: "bug"; readonly message: string; readonly stack: string | undefined };

const CLASSES = { UsageError, NotFoundError, ConflictError, IntegrityError, UnsupportedError } as const;

/** Takes an error apart. */
export function packError(error: unknown): PackedError {
  if (error instanceof LayerctlError) {
    return { kind: "layerctl", name: error.name, code: error.code, message: error.message, data: error.data };
  }
  if (isSystemError(error) && typeof error.errno === "number") {
    const path = "path" in error && typeof error.path === "string" ? error.path : undefined;
    return { kind: "system", errno: error.errno, syscall: error.syscall ?? "", path };
  }
  if (error instanceof Error) return { kind: "bug", message: error.message, stack: error.stack };
  return { kind: "bug", message: String(error), stack: undefined };
}

/** Puts it together again, as the same class. */
export function unpackError(packed: PackedError): Error {
  switch (packed.kind) {
    case "layerctl": {
      const Class = CLASSES[packed.name as keyof typeof CLASSES];
      return new Class(packed.code, packed.message, { data: packed.data });
    }
    case "system":
      return new PosixError(-packed.errno, packed.syscall, packed.path);
    case "bug": {
      const error = new Error(packed.message);
      if (packed.stack !== undefined) error.stack = packed.stack;
      return error;
    }
    default:
      return assertNever(packed);
  }
}
