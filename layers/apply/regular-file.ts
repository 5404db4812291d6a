/** One regular file while it is unpacked: its content goes to disk and through sha256, holes stay holes. */

import { createHash, type Hash, hash } from "node:crypto";
import type { LayerForm } from "../../src/overlay/layer-form.ts";
import type { LayerPath } from "../../src/paths.ts";
import { close, truncate, writeAll, writeAllAt } from "../../src/sys/file.ts";
import type { TarEntry } from "../tar/entry.ts";
import type { FileDigest } from "./file-digests.ts";
import { restoreFile } from "./metadata.ts";
import type { SkippedXattrs } from "./skipped-xattrs.ts";
import { SparseHash } from "./sparse-hash.ts";

/** Disposing closes the file. */
export class RegularFile implements Disposable {
  readonly path: LayerPath;
  readonly #fd: number;
  readonly #entry: TarEntry;
  #writtenBytes = 0;
  /** Of a file that came in one piece: a hash object costs more than the hash of a small file. */
  #digest: string | null = null;
  #hash: Hash | null = null;
  readonly #sparseHash: SparseHash | null;

  /** `fd` is a new, empty file with the mode of `entry`; it belongs to this object. */
  constructor(fd: number, entry: TarEntry, path: LayerPath) {
    this.#fd = fd;
    this.#entry = entry;
    this.path = path;
    this.#sparseHash = entry.extents === null ? null : new SparseHash(entry.sizeBytes);
  }

  /** Takes the next piece of the content, at `offset`. */
  write(bytes: Buffer, offset: number): void {
    if (this.#sparseHash === null) {
      if (bytes.length === this.#entry.sizeBytes) this.#digest = hash("sha256", bytes, "binary");
      else {
        this.#hash ??= createHash("sha256");
        this.#hash.update(bytes);
      }
      writeAll(this.#fd, bytes);
    } else {
      this.#sparseHash.update(bytes, offset);
      writeAllAt(this.#fd, bytes, offset);
    }
    this.#writtenBytes += bytes.length;
  }

  /**
   * Ends the content and restores the metadata, all but what `skipped` takes in.
   * @returns what is to be recorded of the content, and the bytes written
   */
  finish(skipped: SkippedXattrs, form: LayerForm): FileDigest & { readonly writtenBytes: number } {
    const { path } = this;
    const { sizeBytes } = this.#entry;
    if (this.#sparseHash !== null) truncate(this.#fd, sizeBytes);
    restoreFile(this.#fd, this.#entry, skipped, form);
    const writtenBytes = this.#writtenBytes;
    if (this.#sparseHash !== null) {
      return { path, digest: this.#sparseHash.finish(), form: "sparse", writtenBytes };
    }
    const digest = this.#digest ?? (this.#hash ?? createHash("sha256")).digest("binary");
    return { path, digest, form: "whole", writtenBytes };
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}
