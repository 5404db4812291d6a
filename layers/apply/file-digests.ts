/**
 * The file `layers/NAME/files`: the digest of every regular file of an unpacked layer, in the order they were unpacked. A
 * record is 32 bytes of digest, the path, and a NUL. Hard links are recorded once, under the first name. The digest is the
 * content's sha256; with a "/" before the path, which no path of a layer begins with, it is that of `sparse-hash.ts`.
 */

import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { IntegrityError } from "../../src/errors.ts";
import { byteString, display, type HostPath, hostPath, joinHost, type LayerPath } from "../../src/paths.ts";
import { dataExtents } from "../../src/sys/copy.ts";
import * as file from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";
import { SparseHash } from "./sparse-hash.ts";
import type { StitchedFiles } from "./stitch.ts";

const DIGEST_BYTES = 32;
const BUFFER_BYTES = 256 * 1024;
const SPARSE_MARK = "/";

/** How a digest is made of a content. */
export type DigestForm = "whole" | "sparse";

export interface FileDigest {
  readonly path: LayerPath;
  /** A byte string of 32 bytes. */
  readonly digest: string;
  readonly form: DigestForm;
}

/** Collects records and writes them to an open file in large pieces. */
export class FileDigestWriter {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #used = 0;

  /** The caller keeps `fd` and closes it after `flush`. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** `digest` is a byte string of 32 bytes (`digest("binary")`). */
  add(digest: string, path: LayerPath, form: DigestForm = "whole"): void {
    if (this.#used + DIGEST_BYTES + path.length + 2 > BUFFER_BYTES) this.flush();
    this.#used += this.#buffer.write(digest, this.#used, "latin1");
    if (form === "sparse") this.#used += this.#buffer.write(SPARSE_MARK, this.#used, "latin1");
    this.#used += this.#buffer.write(path, this.#used, "latin1");
    this.#buffer[this.#used++] = 0;
  }

  flush(): void {
    file.writeAll(this.#fd, this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}

/** Brings the record at `path` up to date with what `stitch` did to the tree beside it. */
export function updateFileDigests(path: HostPath, tree: HostPath, { placeOf, copied }: StitchedFiles): void {
  if (placeOf === null && copied.length === 0) return;
  const updated = hostPath(`${path}.new`);
  const fd = file.openAt(file.AT_FDCWD, updated, file.O_WRONLY | file.O_CREAT | file.O_EXCL, 0o600);
  try {
    const writer = new FileDigestWriter(fd);
    for (const record of readFileDigests(path)) {
      writer.add(record.digest, placeOf?.(record.path) ?? record.path, record.form);
    }
    for (const copy of copied) addCopy(writer, joinHost(tree, copy), copy);
    writer.flush();
  } finally {
    file.close(fd);
  }
  file.renameAt(file.AT_FDCWD, updated, file.AT_FDCWD, path);
}

function addCopy(writer: FileDigestWriter, hostFile: HostPath, path: LayerPath): void {
  const fd = file.openAt(file.AT_FDCWD, hostFile, file.O_RDONLY | file.O_NOFOLLOW);
  try {
    const { blocks512, sizeBytes } = statAt(fd, null);
    const form = blocks512 * 512 < sizeBytes ? "sparse" : "whole";
    writer.add(digestOfFile(fd, form), path, form);
  } finally {
    file.close(fd);
  }
}

const buffer = Buffer.allocUnsafeSlow(1024 * 1024);

/** The digest of an open regular file, as a byte string of 32 bytes. @throws a system error */
export function digestOfFile(fd: number, form: DigestForm): string {
  if (form === "sparse") return sparseDigestOf(fd);
  const hash = createHash("sha256");
  for (let size = readSync(fd, buffer); size > 0; size = readSync(fd, buffer)) hash.update(buffer.subarray(0, size));
  return hash.digest("binary");
}

function sparseDigestOf(fd: number): string {
  const { sizeBytes } = statAt(fd, null);
  const hash = new SparseHash(sizeBytes);
  for (const [start, end] of dataExtents(fd, sizeBytes)) {
    for (let at = start; at < end; ) {
      const size = readSync(fd, buffer, 0, Math.min(buffer.length, end - at), at);
      if (size === 0) break;
      hash.update(buffer.subarray(0, size), at);
      at += size;
    }
  }
  return hash.finish();
}

/**
 * The records of a layer, in the order they were unpacked.
 * @throws {IntegrityError} `ERR_FILE_DIGESTS` if the file is cut short
 */
export function* readFileDigests(path: HostPath): Generator<FileDigest, void, void> {
  const fd = file.openAt(file.AT_FDCWD, path, file.O_RDONLY);
  try {
    const piece = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    for (let left = 0; ; ) {
      const size = readSync(fd, piece, left, BUFFER_BYTES - left, null);
      const end = left + size;
      let at = 0;
      for (let nul = piece.indexOf(0, DIGEST_BYTES); nul >= 0 && nul < end; nul = piece.indexOf(0, at + DIGEST_BYTES)) {
        yield parseRecord(piece, at, nul);
        at = nul + 1;
      }
      piece.copyWithin(0, at, end);
      left = end - at;
      if (size === 0 && left === 0) return;
      if (size === 0 || left === BUFFER_BYTES) {
        throw new IntegrityError("ERR_FILE_DIGESTS", `Cannot read "${display(path)}": its last record is cut short`);
      }
    }
  } finally {
    file.close(fd);
  }
}

function parseRecord(bytes: Buffer, at: number, end: number): FileDigest {
  const digest = byteString(bytes.subarray(at, at + DIGEST_BYTES));
  const name = byteString(bytes.subarray(at + DIGEST_BYTES, end));
  if (!name.startsWith(SPARSE_MARK)) return { digest, path: name as LayerPath, form: "whole" };
  return { digest, path: name.slice(SPARSE_MARK.length) as LayerPath, form: "sparse" };
}
