/**
 * One layer, from the bytes of its blob to a directory: read, hash, keep a copy, decompress, hash, unpack, verify.
 * Everything but inflating happens in the calling thread, synchronously per piece, so that two layers on two threads
 * keep two cores busy with few system calls a file.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { type DiffId, type Digest, digestOfHex } from "../../src/digest.ts";
import { IntegrityError } from "../../src/errors.ts";
import type { LayerForm } from "../../src/overlay/layer-form.ts";
import { bytesOf, display, type HostPath, joinHost } from "../../src/paths.ts";
import {
  AT_FDCWD,
  close,
  mkdirAt,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  openAt,
  unlinkAt,
  writeAll,
} from "../../src/sys/file.ts";
import type { BlobLocation } from "../formats/source.ts";
import { TarReader } from "../tar/reader.ts";
import { type Compression, decompress, release, SNIFF_BYTES, sniffCompression } from "./decompress.ts";
import { FileDigestWriter } from "./file-digests.ts";
import type { ApplyLimits } from "./limits.ts";
import { LayerUnpacker, type Unpacked } from "./unpacker.ts";
import { UnsettledWriter } from "./unsettled.ts";

const READ_BYTES = 256 * 1024;

/** What is to be unpacked, and what is claimed of it. Plain data: it crosses to a worker thread. */
export interface UnpackTask {
  readonly location: BlobLocation;
  /** An empty directory on the store's file system, which gets `diff` and `files`, `blob` and `unsettled`. */
  readonly directory: HostPath;
  /** False to verify the blob only. */
  readonly unpack: boolean;
  /** Copy the blob's bytes to `blob`. */
  readonly keepBlob: boolean;
  readonly expectedDigest: Digest | null;
  readonly expectedSizeBytes: number | null;
  readonly expectedDiffId: DiffId | null;
  readonly limits: ApplyLimits;
  readonly form: LayerForm;
}

/** What came of it, verified against what was claimed. */
export interface UnpackResult {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly diffId: DiffId;
  readonly compression: Compression;
  /** null if it was not to be unpacked. */
  readonly unpacked: Unpacked | null;
}

/** How others see what an unpacking does, and end it. */
export interface UnpackWatch {
  /** Called with the compressed bytes read since the last call. */
  onBytes(count: number): void;
  /** Called for every piece of the tar. @throws to end it */
  throwIfStopped(): void;
}

/**
 * Unpacks a layer; the thread's umask must be 0. On a throw the directory holds pieces for the caller to remove.
 * @throws {IntegrityError} if the blob is not what is claimed, or its tar is malformed or hostile
 */
export async function unpackLayer(task: UnpackTask, watch: UnpackWatch): Promise<UnpackResult> {
  if (task.expectedSizeBytes !== null && task.location.sizeBytes !== task.expectedSizeBytes) {
    throw wrong("ERR_SIZE_MISMATCH", task, `${task.expectedSizeBytes} bytes`, `${task.location.sizeBytes} bytes`);
  }
  const blobHash = createHash("sha256");
  using blobFd = opened(task.keepBlob ? create(joinHost(task.directory, "blob")) : -1);
  await using source = new BlobSource(task.location, (chunk) => {
    blobHash.update(chunk);
    if (blobFd.fd >= 0) writeAll(blobFd.fd, chunk);
    watch.onBytes(chunk.length);
  });
  const {
    diffId: otherDiffId,
    compression,
    unpacked,
  } = await unpackTar(task, source, watch).catch(async (error: unknown) => {
    if (!(error instanceof IntegrityError)) throw error;
    // Broken bytes look like a hostile tar. If the digest says that they are broken, that is what to report.
    await source.drain();
    verifyDigest(task, digestOfHex(blobHash.digest("hex")), error);
    throw inLayer(error, task);
  });
  const digest = digestOfHex(blobHash.digest("hex"));
  const diffId = otherDiffId ?? (digest as DiffId);
  verifyDigest(task, digest);
  if (task.expectedDiffId !== null && diffId !== task.expectedDiffId) {
    throw wrong("ERR_DIFFID_MISMATCH", task, `diffID ${task.expectedDiffId}`, diffId);
  }
  return { digest, sizeBytes: task.location.sizeBytes, diffId, compression, unpacked };
}

/** `diffId` is null if the blob is the tar itself: one hash serves for both. */
async function unpackTar(
  task: UnpackTask,
  source: BlobSource,
  watch: UnpackWatch,
): Promise<Pick<UnpackResult, "compression" | "unpacked"> & { readonly diffId: DiffId | null }> {
  if (task.unpack) mkdirAt(AT_FDCWD, joinHost(task.directory, "diff"), 0o755);
  using rootFd = opened(task.unpack ? openAt(AT_FDCWD, joinHost(task.directory, "diff"), O_RDONLY | O_DIRECTORY) : -1);
  using digestsFd = opened(task.unpack ? create(joinHost(task.directory, "files")) : -1);
  using directoriesFd = opened(task.unpack ? createNameless(joinHost(task.directory, "scratch")) : -1);
  using whiteoutsFd = opened(task.unpack ? createNameless(joinHost(task.directory, "scratch")) : -1);
  using unsettled = new UnsettledWriter(task.directory);
  const digests = new FileDigestWriter(digestsFd.fd);
  const place = { rootFd: rootFd.fd, scratchFds: [directoriesFd.fd, whiteoutsFd.fd], digests, unsettled } as const;
  using unpacker = task.unpack ? new LayerUnpacker(place, task.limits, task.form) : null;
  const reader = unpacker === null ? null : new TarReader(unpacker);

  const compression = sniffCompression(await source.head());
  const tarHash = compression === "none" ? null : createHash("sha256");
  let tarBytes = 0;
  for await (const chunk of decompress(source.chunks(), compression)) {
    watch.throwIfStopped();
    tarBytes += chunk.length;
    if (tarBytes > task.limits.maxLayerBytes) throw tooLarge(task);
    tarHash?.update(chunk);
    reader?.push(chunk);
    release(chunk);
  }
  reader?.finish();
  const diffId = tarHash === null ? null : (digestOfHex(tarHash.digest("hex")) as DiffId);
  return { compression, diffId, unpacked: unpacker?.finish() ?? null };
}

function verifyDigest(task: UnpackTask, digest: Digest, cause?: Error): void {
  if (task.expectedDigest === null || digest === task.expectedDigest) return;
  throw wrong("ERR_DIGEST_MISMATCH", task, task.expectedDigest, digest, cause);
}

function tooLarge(task: UnpackTask): IntegrityError {
  const limit = task.limits.maxLayerBytes;
  const state = `uncompressed it is larger than the limit of ${limit} bytes; raise the limit if you trust it`;
  const layer = describe(task);
  return new IntegrityError("ERR_LAYER_TOO_LARGE", `Cannot unpack layer ${layer}: ${state}`, {
    data: { layer, limit },
  });
}

/** The blob's bytes, of which the first can be looked at before the rest is read. */
class BlobSource implements AsyncDisposable {
  readonly #iterator: AsyncIterator<Buffer, unknown>;
  readonly #seen: (chunk: Buffer) => void;
  readonly #location: BlobLocation;
  #first: IteratorResult<Buffer, unknown> | null = null;
  #bytes = 0;

  constructor(location: BlobLocation, seen: (chunk: Buffer) => void) {
    const { file, offset, sizeBytes } = location;
    const range = { start: offset, end: offset + sizeBytes - 1, highWaterMark: READ_BYTES };
    const stream: AsyncIterable<Buffer> = sizeBytes === 0 ? Readable.from([]) : createReadStream(bytesOf(file), range);
    this.#iterator = stream[Symbol.asyncIterator]();
    this.#seen = seen;
    this.#location = location;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#iterator.return?.();
  }

  async head(): Promise<Buffer> {
    this.#first = await this.#iterator.next();
    return this.#first.done === true ? Buffer.alloc(0) : this.#first.value.subarray(0, SNIFF_BYTES);
  }

  async *chunks(): AsyncGenerator<Buffer, void, void> {
    for (let next = this.#first; next !== null && next.done !== true; next = await this.#iterator.next()) {
      this.#first = null;
      this.#bytes += next.value.length;
      this.#seen(next.value);
      yield next.value;
    }
    if (this.#bytes !== this.#location.sizeBytes) {
      const { file, sizeBytes } = this.#location;
      const state = `it ends after ${this.#bytes} of ${sizeBytes} bytes`;
      throw new IntegrityError("ERR_SIZE_MISMATCH", `Cannot read a layer from "${display(file)}": ${state}`);
    }
  }

  /** Reads what is left, so that the blob's digest is known. */
  async drain(): Promise<void> {
    for (
      let next = this.#first ?? (await this.#iterator.next());
      next.done !== true;
      next = await this.#iterator.next()
    ) {
      this.#first = null;
      this.#seen(next.value);
    }
  }
}

function wrong(code: string, task: UnpackTask, expected: string, found: string, cause?: Error): IntegrityError {
  return new IntegrityError(code, `Cannot unpack layer ${describe(task)}: expected ${expected}, found ${found}`, {
    data: { layer: describe(task), expected, found },
    cause,
  });
}

/** The same error, which also tells in which layer. */
function inLayer(error: IntegrityError, task: UnpackTask): IntegrityError {
  const layer = describe(task);
  if (error.message.includes(layer)) return error;
  const data = { ...error.data, layer };
  return new IntegrityError(error.code, `${error.message} (in layer ${layer})`, { data, cause: error });
}

function describe(task: UnpackTask): string {
  return task.expectedDigest ?? task.expectedDiffId ?? `of "${display(task.location.file)}"`;
}

function create(path: HostPath): number {
  return openAt(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
}

/** A file for reading and writing that is gone when it is closed. */
function createNameless(path: HostPath): number {
  const fd = openAt(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0o600);
  unlinkAt(AT_FDCWD, path);
  return fd;
}

/** A descriptor that is closed at the end of its scope; -1 is none. */
function opened(fd: number): { readonly fd: number } & Disposable {
  return {
    fd,
    [Symbol.dispose]: () => {
      if (fd >= 0) close(fd);
    },
  };
}
