/** One regular file while it is unpacked: its content goes to disk and through sha256, holes stay holes. */

import { createHash, type Hash, hash } from "node:crypto";
import type { LayerForm } from "../../src/overlay/layer-form.ts";
import type { LayerPath } from "../../src/paths.ts";
import { close, truncate, writeAll, writeAllAt } from "../../src/sys/file.ts";
import type { TarEntry } from "../tar/entry.ts";
import { restoreFile } from "./metadata.ts";
import type { SkippedXattrs } from "./skipped-xattrs.ts";

const ZEROS = Buffer.alloc(1 << 20);

/** Disposing closes the file. */
export class RegularFile implements Disposable {
  readonly path: LayerPath;
  readonly #fd: number;
  readonly #entry: TarEntry;
  #writtenBytes = 0;
  /** Of a file that came in one piece: a hash object costs more than the hash of a small file. */
  #digest: string | null = null;
  #hash: Hash | null = null;
  /** Up to where a sparse file has been hashed. */
  #hashedTo = 0;

  /** `fd` is a new, empty file with the mode of `entry`; it belongs to this object. */
  constructor(fd: number, entry: TarEntry, path: LayerPath) {
    this.#fd = fd;
    this.#entry = entry;
    this.path = path;
  }

  /** Takes the next piece of the content, at `offset`. */
  write(bytes: Buffer, offset: number): void {
    if (this.#entry.extents === null) {
      if (bytes.length === this.#entry.sizeBytes) this.#digest = hash("sha256", bytes, "binary");
      else this.#update(bytes);
      writeAll(this.#fd, bytes);
    } else {
      this.#hashHole(offset);
      this.#update(bytes);
      this.#hashedTo = offset + bytes.length;
      writeAllAt(this.#fd, bytes, offset);
    }
    this.#writtenBytes += bytes.length;
  }

  /**
   * Ends the content and restores the metadata, all but what `skipped` takes in.
   * @returns the digest as a byte string of 32 bytes, and the bytes written
   */
  finish(skipped: SkippedXattrs, form: LayerForm): { readonly digest: string; readonly writtenBytes: number } {
    if (this.#entry.extents !== null) {
      this.#hashHole(this.#entry.sizeBytes);
      truncate(this.#fd, this.#entry.sizeBytes);
    }
    restoreFile(this.#fd, this.#entry, skipped, form);
    return {
      digest: this.#digest ?? (this.#hash ?? createHash("sha256")).digest("binary"),
      writtenBytes: this.#writtenBytes,
    };
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }

  #update(bytes: Buffer): void {
    this.#hash ??= createHash("sha256");
    this.#hash.update(bytes);
  }

  /** Hashes the zeros between the last data and `offset`, as a reader of the file will see them. */
  #hashHole(offset: number): void {
    for (let left = offset - this.#hashedTo; left > 0; left -= ZEROS.length) {
      this.#update(left >= ZEROS.length ? ZEROS : ZEROS.subarray(0, left));
    }
  }
}
