/**
 * The npm package fuse-native 2.2.6, a binding of libfuse 2: loading it, and the one adapter that its calls pass. What it
 * cannot do is listed in docs/fuse-native.md.
 *
 * Its addon is used without its JavaScript, which loses what the addon gives: the descriptor of an open file, the room that
 * a reader of an attribute has (it is then written beyond), the number of links of a file that has none. The addon has
 * a thread of libfuse wait for each call until it is signalled, by the record that the call came with. It wants the main
 * thread of the process.
 */

import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { UnsupportedError } from "../../src/errors.ts";

/** What goes back with a result: what that is depends on the call. */
export type Rest = readonly unknown[];

/** One of libfuse's calls. */
export interface NativeCall {
  /** Does it. The result is 0 or more; what goes back with it. */
  readonly answer: (args: NativeArguments) => readonly [result: number, ...rest: Rest];
  /** What goes back with an errno. */
  readonly onFailure: (args: NativeArguments) => Rest;
}

/** What a call came with, by position. Names are UTF-8 text, in which what is none has become U+FFFD. */
export interface NativeArguments {
  /** What the addon keeps of the call (`fuse_thread_locals_t`). */
  readonly record: Buffer;
  text(position: number): string;
  number(position: number): number;
  /** 64 bits, at two positions. */
  long(position: number): number;
  /** Memory of libfuse, until the call is answered. */
  buffer(position: number): Buffer;
}

export type NativeCalls = Readonly<Record<string, NativeCall>>;

type Handler = (record: Buffer, op: number, ...values: readonly unknown[]) => void;
type Signal = (record: Buffer, result: number, ...rest: readonly unknown[]) => void;

interface Addon {
  readonly sizeof_fuse_thread_t: number;
  fuse_native_mount(
    target: string,
    options: string,
    thread: Buffer,
    self: object,
    allocate: (size: number) => Buffer,
    handlers: readonly Handler[],
    isImplemented: Uint32Array,
  ): void;
  fuse_native_unmount(target: string, thread: Buffer): void;
  readonly [member: `op_${string}`]: number;
  readonly [member: `fuse_native_signal_${string}`]: Signal;
}

/** The addon's table of handlers. */
const HANDLER_COUNT = 35;
/** It copies both into as much. */
const MOST_BYTES = 1023;

export interface NativeMount {
  /** To be called when the mount is gone: lets the process end. */
  close(): void;
}

/**
 * Mounts at `target` (UTF-8) with libfuse's options. `calls` are named as the addon names them, `init` among them; one that
 * is not there libfuse answers itself. `errnoOf` gives the errno of what a call throws.
 * @throws {UnsupportedError} `ERR_FUSE_NATIVE_MISSING` without the package, `ERR_FUSE_NATIVE_LIBRARY` if it does not load,
 *   `ERR_FUSE_NATIVE_MOUNT` if libfuse does not mount; it says why on stderr
 */
export function mountNative(
  target: string,
  options: string,
  calls: NativeCalls,
  errnoOf: (error: unknown, call: string) => number,
): NativeMount {
  const addon = loadAddon();
  const text = `-o${options}`;
  if (Buffer.byteLength(target) > MOST_BYTES || Buffer.byteLength(text) > MOST_BYTES) {
    throw refused(target, `fuse-native takes no more than ${MOST_BYTES} bytes of path and of options`);
  }
  const handlers = Array.from({ length: HANDLER_COUNT }, (): Handler => () => {});
  const isImplemented = new Uint32Array(HANDLER_COUNT);
  for (const [name, call] of Object.entries(calls)) {
    const op = addon[`op_${name}`];
    const signal = addon[`fuse_native_signal_${name}`];
    if (op === undefined || signal === undefined) throw new RangeError(`fuse-native has no call ${name}`);
    handlers[op] = handlerOf(call, signal, (error) => errnoOf(error, name));
    isImplemented[op] = 1;
  }
  const thread = Buffer.alloc(addon.sizeof_fuse_thread_t);
  const records = new Set<Buffer>(); // libfuse's threads write into them
  const allocate = (size: number): Buffer => {
    const record = Buffer.alloc(size);
    records.add(record);
    return record;
  };
  const close = (): void => addon.fuse_native_unmount(target, thread);
  try {
    addon.fuse_native_mount(target, text, thread, { records, handlers }, allocate, handlers, isImplemented);
  } catch (error) {
    close(); // it may have come so far as to keep the process from ending
    throw refused(target, 'libfuse refused it, and says why on stderr ("layerctl fuse -f" shows that)', error);
  }
  return { close };
}

/** Answers once, whatever happens: a thread of libfuse waits for it. */
function handlerOf(call: NativeCall, signal: Signal, errnoOf: (error: unknown) => number): Handler {
  return (record, _op, ...values) => {
    const args = argumentsOf(record, values);
    let answer: readonly [result: number, ...rest: Rest];
    try {
      answer = call.answer(args);
    } catch (error) {
      answer = [-errnoOf(error), ...call.onFailure(args)];
    }
    try {
      signal(record, ...answer);
    } catch (error) {
      signal(record, -errnoOf(error), ...call.onFailure(args)); // it took nothing of what it could not read
    }
  };
}

function argumentsOf(record: Buffer, values: readonly unknown[]): NativeArguments {
  return {
    record,
    text: (position) => values[position] as string,
    number: (position) => values[position] as number,
    long: (position) => (values[position] as number) + (values[position + 1] as number) * 2 ** 32,
    buffer: (position) => values[position] as Buffer,
  };
}

function loadAddon(): Addon {
  const require = createRequire(import.meta.url);
  let entry: string;
  try {
    entry = require.resolve("fuse-native/package.json");
  } catch (error) {
    const where = `run "npm install --ignore-scripts fuse-native" in "${projectDirectory()}" (with -g if layerctl was)`;
    const message = `Cannot use transport "fuse-native": the package is not installed; ${where}`;
    throw new UnsupportedError("ERR_FUSE_NATIVE_MISSING", message, { cause: error });
  }
  try {
    return (createRequire(entry)("node-gyp-build") as (directory: string) => Addon)(dirname(entry));
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    const advice =
      process.arch === "x64"
        ? "install libfuse 2 (apt-get install libfuse2)"
        : `it has no binary for ${process.arch}; use transport "device"`;
    const message = `Cannot use transport "fuse-native": the package does not load (${reason}); ${advice}`;
    throw new UnsupportedError("ERR_FUSE_NATIVE_LIBRARY", message, { cause: error });
  }
}

/** Where a package lies beside ours: the directory with the `node_modules` that we are in, or a checkout itself. */
function projectDirectory(): string {
  const parts = dirname(fileURLToPath(import.meta.url)).split(sep);
  const at = parts.lastIndexOf("node_modules");
  if (at > 0) return parts.slice(0, at).join(sep);
  return join(dirname(fileURLToPath(import.meta.url)), import.meta.url.endsWith(".ts") ? "../.." : "..");
}

function refused(target: string, why: string, cause?: unknown): UnsupportedError {
  return new UnsupportedError("ERR_FUSE_NATIVE_MOUNT", `Cannot mount at "${target}" with fuse-native: ${why}`, {
    cause,
  });
}
