/**
 * Writes images into an OCI layout (image-layout.md), a new one or one that is there. `index.json` is replaced last and
 * at once, so that a layout always is whole; what was written is removed if anything fails before.
 */

import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, mkdir, open, readdir, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { ConflictError, isErrno, isSystemError, PosixError, whileWriting } from "../../src/errors.ts";
import { bytesOf, display, type HostPath, joinHost } from "../../src/paths.ts";
import { syncFileSystem } from "../../src/sys/sync.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { checkLayoutHeader, LAYOUT_HEADER_LIMIT_BYTES, parseLayoutIndex } from "../oci/image-index.ts";
import { MANIFEST_LIMIT_BYTES } from "../oci/manifest.ts";
import { openBlob, SaveCounter } from "./blob-copy.ts";
import {
  blobsOf,
  encodeIndex,
  type IndexEntry,
  indexEntries,
  LAYOUT_HEADER,
  type SavedImage,
  type WriteOptions,
} from "./saved-image.ts";
import { blobName, directoryFiles, readDocument } from "./source-files.ts";

/** What the index of a layout holds already. */
interface ExistingIndex {
  readonly entries: readonly IndexEntry[];
  /** Its other fields. */
  readonly rest: object;
}

/**
 * Adds the images to the layout at `directory`, which is made if it is not there or empty.
 * @throws {ConflictError} `ERR_DESTINATION_EXISTS` if it is something else
 * @throws {IntegrityError} `ERR_BLOB_MISSING` or `ERR_SIZE_MISMATCH`; or if the layout there is malformed
 */
export async function writeLayout(
  images: readonly SavedImage[],
  directory: HostPath,
  options: WriteOptions,
): Promise<void> {
  const existing = await readExisting(directory);
  const writer = new LayoutWriter(directory, options);
  try {
    await writer.makeDirectories();
    const blobs = blobsOf(images);
    const counter = new SaveCounter(blobs, options);
    for (const blob of blobs) await writer.addBlob(blob, counter);
    if (existing === null) await writer.replace("oci-layout", Buffer.from(LAYOUT_HEADER));
    await writer.sync(); // blobs before the index that names them
    const { entries, rest } = existing ?? { entries: [], rest: {} };
    await writer.replace("index.json", encodeIndex(indexEntries(entries, images), rest));
  } catch (error) {
    await writer.undo();
    throw error;
  }
  await writer.sync();
}

/** The index of the layout there; null for a directory that is not there or empty. */
async function readExisting(directory: HostPath): Promise<ExistingIndex | null> {
  const names = await listNames(directory);
  if (names.length === 0) return null;
  const files = directoryFiles(directory);
  const header = await files.locate("oci-layout");
  const index = await files.locate("index.json");
  if (header === null || index === null) {
    const why = "it is neither empty nor an OCI layout";
    throw new ConflictError("ERR_DESTINATION_EXISTS", `Cannot save to "${display(directory)}": ${why}`);
  }
  checkLayoutHeader(await readDocument(header, "oci-layout", LAYOUT_HEADER_LIMIT_BYTES));
  const bytes = await readDocument(index, "index.json", MANIFEST_LIMIT_BYTES);
  parseLayoutIndex(bytes);
  const { manifests, ...rest } = JSON.parse(bytes.toString("utf8")) as { manifests?: readonly IndexEntry[] | null };
  return { entries: manifests ?? [], rest };
}

async function listNames(directory: HostPath): Promise<readonly unknown[]> {
  try {
    return await readdir(bytesOf(directory));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    if (!isErrno(error, "ENOTDIR")) throw error;
    throw new ConflictError(
      "ERR_DESTINATION_EXISTS",
      `Cannot save to "${display(directory)}": it is not a directory; name another, or save as oci-archive`,
    );
  }
}

/** Files added to a layout, so that they can be taken back. */
class LayoutWriter {
  readonly #directory: HostPath;
  readonly #options: WriteOptions;
  readonly #fileMode = 0o666 & ~process.umask();
  /** What takes back each step, the first one first. */
  readonly #steps: (() => Promise<void>)[] = [];

  constructor(directory: HostPath, options: WriteOptions) {
    this.#directory = directory;
    this.#options = options;
  }

  async makeDirectories(): Promise<void> {
    for (const names of [[], ["blobs"], ["blobs", "sha256"]]) {
      const path = bytesOf(joinHost(this.#directory, ...names));
      try {
        await mkdir(path);
        this.#steps.push(() => rmdir(path));
      } catch (error) {
        if (!isErrno(error, "EEXIST")) throw error;
      }
    }
  }

  /** Copies a blob, sharing its extents where the file system can, unless it is there in its size. */
  async addBlob(blob: Descriptor, counter: SaveCounter): Promise<void> {
    const name = blobName(blob);
    const target = joinHost(this.#directory, name);
    await (await openBlob(blob, this.#options)).close(); // there, and of the right size
    if ((await sizeOrNull(target)) !== blob.size) {
      await this.#put(name, async (temporary) => {
        const source = bytesOf(this.#options.blobPath(blob.digest));
        await copyFile(source, bytesOf(temporary), constants.COPYFILE_FICLONE);
        await chmod(bytesOf(temporary), this.#fileMode); // a store keeps its files to itself
      });
    }
    counter.add(blob.size);
  }

  /** Puts a file in the place of what has its name, at once. */
  async replace(name: string, bytes: Buffer): Promise<void> {
    await this.#put(name, (temporary) => writeFile(bytesOf(temporary), bytes, { flush: true, mode: 0o666 }));
  }

  async #put(name: string, write: (temporary: HostPath) => Promise<void>): Promise<void> {
    const temporary = joinHost(this.#directory, `.layerctl-${randomBytes(8).toString("hex")}`);
    const target = joinHost(this.#directory, name);
    try {
      await write(temporary);
      const isNew = (await sizeOrNull(target)) === null;
      await rename(bytesOf(temporary), bytesOf(target));
      if (isNew) this.#steps.push(() => rm(bytesOf(target), { force: true }));
    } catch (error) {
      await rm(bytesOf(temporary), { force: true });
      throw asWritten(bytesOf(target).toString(), error);
    }
  }

  /** Everything written is on disk. */
  async sync(): Promise<void> {
    const handle = await open(bytesOf(this.#directory));
    try {
      await syncFileSystem(handle.fd);
    } catch (error) {
      throw whileWriting(bytesOf(this.#directory).toString(), error);
    } finally {
      await handle.close();
    }
  }

  /** Removes what was added. Somebody else's files that came meanwhile stay, and their directories. */
  async undo(): Promise<void> {
    for (const step of this.#steps.reverse()) await step().catch(() => undefined);
  }
}

/** Of a copy node names the source first. */
function asWritten(path: string, error: unknown): unknown {
  const isCopy = isSystemError(error) && error.syscall === "copyfile";
  return isCopy ? new PosixError(-error.errno, error.syscall ?? "write", path) : whileWriting(path, error);
}

async function sizeOrNull(path: HostPath): Promise<number | null> {
  try {
    return (await stat(bytesOf(path))).size;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}
