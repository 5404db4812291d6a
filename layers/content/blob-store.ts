/**
 * Blobs by digest: `blobs/sha256/HEX` and a row each. A blob is added in the order temp → fsync → rename → fsync of the
 * directory → row, so that a row always has its file; a file without a row is garbage for `gc`. Adding what is there is
 * no error and writes nothing.
 */

import { promises, readFileSync, statSync } from "node:fs"; // what only reads documents loads no node:fs/promises
import type { FileHandle } from "node:fs/promises";
import { type Digest, digestOf, digestOfHex, hexOf } from "../../src/digest.ts";
import { IntegrityError, isErrno, NotFoundError, whileWriting } from "../../src/errors.ts";
import { getBlob, insertBlob } from "../../src/meta/blobs.ts";
import type { Database } from "../../src/meta/database.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { sha256Hex } from "../../src/sys/sha256.ts";
import { blobPath, type StoreLayout } from "../layout.ts";
import { createTemporary, type Temporary } from "./temporary.ts";

/** A blob that is stored. */
export interface StoredBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** A finished file to take in as a blob. Its bytes have been verified against `digest` already. */
export interface AdoptedFile extends StoredBlob {
  readonly temporary: HostPath;
}

export class BlobStore {
  readonly #layout: StoreLayout;
  readonly #db: Database;

  constructor(layout: StoreLayout, db: Database) {
    this.#layout = layout;
    this.#db = db;
  }

  /** True if the blob is stored, by its row. */
  has(digest: Digest): boolean {
    return getBlob(this.#db, digest) !== null;
  }

  /** Size in bytes, or null if it is not stored. */
  sizeOf(digest: Digest): number | null {
    return getBlob(this.#db, digest)?.sizeBytes ?? null;
  }

  /** Where the blob's file is, or would be. */
  path(digest: Digest): HostPath {
    return blobPath(this.#layout, digest);
  }

  /** Stores small bytes; they are there after a power cut as soon as a later durable commit is. Safe to race. */
  async put(bytes: Uint8Array): Promise<Digest> {
    await this.putAll([bytes]);
    return digestOf(bytes);
  }

  /**
   * As `put`, for several, and for what `writers` have written: the disk is waited for once for all of them, since
   * files that are synced side by side share a commit of the file system's journal.
   */
  async putAll(contents: readonly Uint8Array[], writers: readonly BlobWriter[] = []): Promise<void> {
    const blobs = contents.map((bytes) => ({ bytes, digest: digestOf(bytes), sizeBytes: bytes.length }));
    const missing = blobs.filter((blob) => !this.#isStored(blob));
    if (missing.length + writers.length === 0) return;
    await using temporary = createTemporary(this.#layout, "blob");
    const files = await allEnded([
      ...writers.map((writer) => writer.finish()),
      ...missing.map(({ bytes, ...blob }) => writeSynced(temporary.path, bytes, blob)),
    ]);
    await this.adoptAll(files, { synced: true });
  }

  /** Starts a blob whose bytes come in pieces. Disposing it before `commit` leaves nothing. */
  async create(): Promise<BlobWriter> {
    const temporary = createTemporary(this.#layout, "blob");
    try {
      const path = joinHost(temporary.path, "data");
      return new BlobWriter(this, temporary, path, await promises.open(bytesOf(path), "wx", 0o600));
    } catch (error) {
      await temporary[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Takes in a file of the store's file system (made below a `Temporary`), which is renamed. `synced`: its bytes are on
   * disk already. If the blob is there, the file stays where it is.
   */
  async adopt(
    temporary: HostPath,
    digest: Digest,
    sizeBytes: number,
    options: { readonly synced: boolean },
  ): Promise<void> {
    await this.adoptAll([{ temporary, digest, sizeBytes }], options);
  }

  /** As `adopt` for several files, with one sync of the directory and one transaction for all. */
  async adoptAll(files: readonly AdoptedFile[], options: { readonly synced: boolean }): Promise<void> {
    const missing = files.filter((file) => !this.#isStored(file));
    if (missing.length === 0) return;
    for (const file of missing) {
      if (!options.synced) await syncPath(file.temporary);
      await promises.rename(bytesOf(file.temporary), bytesOf(this.path(file.digest)));
    }
    await syncPath(this.#layout.blobs);
    this.#db.transaction("relaxed", () => {
      for (const file of missing) insertBlob(this.#db, file);
    });
  }

  /**
   * The bytes of a blob of at most `limitBytes`, verified.
   * @throws {NotFoundError} `ERR_BLOB_NOT_FOUND`
   * @throws {IntegrityError} `ERR_BLOB_TOO_LARGE`, or `ERR_BLOB_CORRUPT` if the file is missing, short or changed
   */
  readJson(digest: Digest, limitBytes: number): Buffer {
    const row = getBlob(this.#db, digest);
    const data = { digest };
    if (row === null) {
      throw new NotFoundError("ERR_BLOB_NOT_FOUND", `Cannot read blob "${digest}": it is not in the store`, { data });
    }
    if (row.sizeBytes > limitBytes) {
      const state = `it is ${row.sizeBytes} bytes long, the most is ${limitBytes}`;
      throw new IntegrityError("ERR_BLOB_TOO_LARGE", `Cannot read blob "${digest}": ${state}`, { data });
    }
    const bytes = this.#sizeOnDisk(digest) === row.sizeBytes ? readFileSync(bytesOf(this.path(digest))) : null;
    if (bytes !== null && digestOfDocument(bytes) === digest) return bytes;
    const state = 'its file is missing or changed; run "layerctl fsck"';
    throw new IntegrityError("ERR_BLOB_CORRUPT", `Cannot read blob "${digest}": ${state}`, { data });
  }

  /** By its row, and by the size of its file: a blob that lost its file is stored again. */
  #isStored(blob: StoredBlob): boolean {
    const row = getBlob(this.#db, blob.digest);
    return row !== null && row.sizeBytes === blob.sizeBytes && this.#sizeOnDisk(blob.digest) === blob.sizeBytes;
  }

  #sizeOnDisk(digest: Digest): number | null {
    try {
      return statSync(bytesOf(this.path(digest))).size;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return null;
      throw error;
    }
  }
}

/** A blob that is being written. */
export class BlobWriter implements AsyncDisposable {
  readonly #store: BlobStore;
  readonly #temporary: Temporary;
  readonly #path: HostPath;
  readonly #file: FileHandle;
  readonly #hash = process.getBuiltinModule("node:crypto").createHash("sha256");
  #sizeBytes = 0;
  #blob: StoredBlob | null = null;
  #isOpen = true;

  /** Made by `BlobStore.create`. */
  constructor(store: BlobStore, temporary: Temporary, path: HostPath, file: FileHandle) {
    this.#store = store;
    this.#temporary = temporary;
    this.#path = path;
    this.#file = file;
  }

  /** Appends `bytes`, which may be reused once the promise is fulfilled. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    this.#sizeBytes += bytes.length;
    await this.#naming(async () => {
      let rest = bytes;
      while (rest.length > 0) rest = rest.subarray((await this.#file.write(rest)).bytesWritten);
    });
  }

  /** What has been written, as a blob. Nothing can be written after this. */
  end(): StoredBlob {
    this.#blob ??= { digest: digestOfHex(this.#hash.digest("hex")), sizeBytes: this.#sizeBytes };
    return this.#blob;
  }

  /**
   * Ends the blob and stores it under its digest.
   * @throws {IntegrityError} `ERR_DIGEST_MISMATCH` if it is not the `expected` one; nothing is stored then
   */
  async commit(expected?: Digest): Promise<StoredBlob> {
    const blob = this.end();
    if (expected !== undefined && expected !== blob.digest) {
      throw new IntegrityError("ERR_DIGEST_MISMATCH", `Cannot store blob "${expected}": its bytes are ${blob.digest}`, {
        data: { expected, actual: blob.digest, sizeBytes: blob.sizeBytes },
      });
    }
    await this.#store.putAll([], [this]);
    return blob;
  }

  /** Ends the blob and has its bytes on the disk, for the store to take in. */
  async finish(): Promise<AdoptedFile> {
    const blob = this.end();
    await this.#naming(() => this.#file.sync());
    await this.#close();
    return { ...blob, temporary: this.#path };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await this.#temporary[Symbol.asyncDispose]();
  }

  async #naming(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      throw whileWriting(bytesOf(this.#path).toString(), error);
    }
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#file.close();
  }
}

/** A file with these bytes in a directory, on the disk. */
async function writeSynced(directory: HostPath, bytes: Uint8Array, blob: StoredBlob): Promise<AdoptedFile> {
  const temporary = joinHost(directory, hexOf(blob.digest));
  await using file = await promises.open(bytesOf(temporary), "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    throw whileWriting(bytesOf(temporary).toString(), error);
  }
  return { ...blob, temporary };
}

/** As `Promise.all`, but a failure is told only when nothing is under way any more. */
async function allEnded<Result>(promises: readonly Promise<Result>[]): Promise<Result[]> {
  await Promise.allSettled(promises);
  return await Promise.all(promises);
}

/** fsync of a file or directory by name. */
async function syncPath(path: HostPath): Promise<void> {
  await using file = await promises.open(bytesOf(path), "r");
  try {
    await file.sync();
  } catch (error) {
    throw whileWriting(bytesOf(path).toString(), error);
  }
}

/** Every start of a container reads two, and nothing else to be hashed. */
function digestOfDocument(bytes: Uint8Array): Digest {
  const hex = sha256Hex(bytes);
  return hex === null ? digestOf(bytes) : digestOfHex(hex);
}
