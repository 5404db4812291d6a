/**
 * The only door to libc. Prototypes are C; a `const void *` parameter takes a Buffer, so that names pass as bytes.
 * koffi is loaded at the first call, never at import. A synchronous koffi call costs 0.3 µs plus the system call.
 */

import { openSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Koffi from "koffi";
import { PosixError } from "../errors.ts";
import { nativeAddon } from "./native-addon.ts";

let koffi: typeof Koffi | undefined;
let library: Koffi.LibraryHandle | undefined;

/** libc's errno of this thread, in place. */
let errno = new Int32Array(1);
/** What it was after the last call that failed. */
let failedWith = 0;

function load(): Koffi.LibraryHandle {
  if (library !== undefined) return library;
  koffi ??= loadKoffi();
  library = koffi.load(null);
  const location = library.func("void *__errno_location()") as unknown as () => object;
  errno = new Int32Array(koffi.view(location(), errno.byteLength));
  return library;
}

/**
 * koffi's binary, which has all that is used here: 2 ms. koffi's own entry takes 8, to find the binary and to add names
 * that are deprecated; it is for other libcs, and for where the package manager puts the binary elsewhere.
 */
function loadKoffi(): typeof Koffi {
  const { arch } = process;
  const addon = nativeAddon(`@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`);
  return (addon ?? createRequire(import.meta.url)("koffi")) as typeof Koffi;
}

/** What a libc function takes here: integers, buffers for pointers, null for NULL. */
export type Argument = number | bigint | Uint8Array | null;

/** Declares a libc function by its C prototype. It is looked up at its first call. */
export function declare<Result extends number | bigint = number>(
  prototype: string,
): (...args: readonly Argument[]) => Result {
  let bound: ((...args: readonly Argument[]) => Result) | undefined;
  return (...args) => {
    bound ??= load().func(prototype) as unknown as (...args: readonly Argument[]) => Result;
    const result = bound(...args);
    // Now: whenever a function is called the engine may do work of its own first, whose system calls overwrite errno.
    if (result < 0) failedWith = errno[0] ?? 0;
    return result;
  };
}

/**
 * As `declare`, run on the thread pool: for calls that block for long. 40 times dearer than a synchronous call.
 * libc's errno belongs to the pool's thread and is lost: a failure rejects with `EIO`.
 */
export function declareAsync(prototype: string, syscall: string): (...args: readonly Argument[]) => Promise<number> {
  let bound: ReturnType<Koffi.LibraryHandle["func"]> | undefined;
  return (...args) => {
    bound ??= load().func(prototype);
    const call = bound;
    return new Promise((resolve, reject) => {
      call.async(...args, (error: unknown, result: number) => {
        if (error) reject(error as Error);
        else if (result < 0) reject(new PosixError(5, syscall));
        else resolve(result);
      });
    });
  };
}

/**
 * Points stdout and stderr at nothing; to be called last, when all has been said. koffi fsyncs both when the process
 * ends, so that a listing into a file would take as long as the disk does.
 */
export function detachOutput(): void {
  if (library === undefined) return;
  const nothing = openSync("/dev/null", "w");
  for (const fd of [1, 2]) library.func("int dup2(int from, int to)")(nothing, fd);
}

/** The errno of the last call in this thread that failed, with a result below 0. */
export function lastErrno(): number {
  return failedWith;
}

/** The error for a call that has just failed. `path` is a byte string. */
export function failure(syscall: string, path?: string): PosixError {
  return new PosixError(lastErrno(), syscall, path === undefined ? undefined : Buffer.from(path, "latin1").toString());
}

/** Passes a result through; throws the errno's `PosixError` if it is negative. */
export function check(result: number, syscall: string, path?: string): number {
  if (result < 0) throw failure(syscall, path);
  return result;
}

/** Moves nothing, and returns its first argument. */
const memmove = declare<bigint | number>("uint64_t memmove(void *to, const void *from, size_t size)");

/** Where a buffer is, for structures with pointers. It stays there as long as somebody has the buffer. */
export function addressOf(buffer: Buffer): bigint {
  return BigInt(memmove(buffer, buffer, 0));
}

/** A path is at most 4,095 bytes; mount(2) takes four strings. */
const SCRATCH_BYTES = 4352;
const scratch = Array.from({ length: 8 }, () => Buffer.allocUnsafeSlow(SCRATCH_BYTES));
let turn = 0;

/**
 * A byte string as a C string, valid until a few more have been made: for the arguments of one synchronous call.
 * Buffers of their own for all the names of a layer cost more than the calls that take them.
 */
export function cString(bytes: string): Buffer {
  turn = (turn + 1) % scratch.length;
  const buffer = bytes.length < SCRATCH_BYTES ? scratch[turn] : undefined;
  if (buffer === undefined) return Buffer.from(`${bytes}\0`, "latin1");
  buffer[buffer.write(bytes, 0, "latin1")] = 0;
  return buffer;
}
