/** Streams that have to be files: standard input, pipes, and archives that are compressed as a whole. */

import { randomBytes } from "node:crypto";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { IntegrityError, whileWriting } from "../../src/errors.ts";
import { bytesOf, type HostPath, hostPath, joinHost } from "../../src/paths.ts";
import { decompress, sniffCompression } from "../apply/decompress.ts";

/** The most bytes of a spooled file, unless told otherwise: what stops a compressed bomb. */
export const SPOOL_LIMIT_BYTES = 128 * 2 ** 30;

/** Pieces smaller than this are gathered before anything is told from the first bytes. */
const START_BYTES = 512;

/** What messages call the stream. */
const SUBJECT = "the archive";

export interface SpoolOptions {
  /** The directory on whose file system to spool. */
  readonly temporary: HostPath;
  /** Undo a compression of the whole. */
  readonly decompress: boolean;
  readonly limitBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes so far, after each piece. */
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

/** A file that has no name: it is gone when it is disposed, and however the process ends. */
export interface SpooledFile extends AsyncDisposable {
  /** Where this process finds it. */
  readonly file: HostPath;
}

/**
 * Writes `source` to a file. Memory is bounded; a failure leaves nothing behind.
 * @throws {IntegrityError} `ERR_ARCHIVE_SIZE` if there is more than the limit, `ERR_LAYER_COMPRESSION`
 * @throws {UnsupportedError} `ERR_COMPRESSION_UNSUPPORTED`
 */
export async function spool(source: AsyncIterable<Buffer>, options: SpoolOptions): Promise<SpooledFile> {
  const name = joinHost(options.temporary, `.layerctl-${randomBytes(8).toString("hex")}`);
  const handle = await open(bytesOf(name), "wx+", 0o600);
  try {
    await unlink(bytesOf(name));
    const { signal } = options;
    await write(signal === undefined ? source : abortable(source, signal), handle, options);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { file: hostPath(`/proc/self/fd/${handle.fd}`), [Symbol.asyncDispose]: () => handle.close() };
}

async function write(source: AsyncIterable<Buffer>, handle: FileHandle, options: SpoolOptions): Promise<void> {
  const limitBytes = options.limitBytes ?? SPOOL_LIMIT_BYTES;
  const { start, whole } = await peek(source);
  const bytes = options.decompress ? decompress(whole, sniffCompression(start, SUBJECT), SUBJECT) : whole;
  let written = 0;
  for await (const chunk of bytes) {
    options.signal?.throwIfAborted();
    written += chunk.length;
    if (written > limitBytes) {
      const state = `it is larger than the limit of ${limitBytes} bytes; raise the limit if you trust it`;
      throw new IntegrityError("ERR_ARCHIVE_SIZE", `Cannot read the archive: ${state}`, { data: { limitBytes } });
    }
    await handle.writeFile(chunk).catch((error) => {
      throw whileWriting(bytesOf(options.temporary).toString(), error);
    });
    options.onProgress?.(written);
  }
}

/**
 * Throws as soon as `signal` is aborted, also while nothing comes: standard input may stay silent for ever. Each chunk has
 * a promise of its own, since racing one that lives as long as the stream would keep every chunk in memory.
 */
function abortable(source: AsyncIterable<Buffer>, signal: AbortSignal): AsyncIterable<Buffer> {
  const iterator = source[Symbol.asyncIterator]();
  let rejectPending = (_reason: unknown): void => {};
  const abort = (): void => rejectPending(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return {
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise((resolve, reject) => {
          rejectPending = reject;
          if (signal.aborted) abort();
          else iterator.next().then(resolve, reject);
        }),
      async return() {
        signal.removeEventListener("abort", abort);
        if (!signal.aborted) await iterator.return?.(); // it would wait for the bytes that do not come
        return { done: true, value: undefined };
      },
    }),
  };
}

/** The first bytes of a stream, and the whole stream still. */
async function peek(
  source: AsyncIterable<Buffer>,
): Promise<{ readonly start: Buffer; readonly whole: AsyncIterable<Buffer> }> {
  const iterator = source[Symbol.asyncIterator]();
  const pieces: Buffer[] = [];
  let bytes = 0;
  while (bytes < START_BYTES) {
    const next = await iterator.next();
    if (next.done === true) break;
    pieces.push(next.value);
    bytes += next.value.length;
  }
  const start = Buffer.concat(pieces);
  const whole = (async function* () {
    try {
      yield start;
      for (;;) {
        const next = await iterator.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  })();
  return { start, whole };
}
