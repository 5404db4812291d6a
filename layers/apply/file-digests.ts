/**
 * The file `layers/NAME/files`: the sha256 of every regular file of an unpacked layer, in the order they were unpacked.
 * A record is the 32 bytes of the digest, the path, and a NUL. Hard links are recorded once, under the first name.
 */

import { createHash } from "node:crypto";
import { readFileSync, readSync } from "node:fs";
import { IntegrityError } from "../../src/errors.ts";
import { bytesOf, type HostPath, joinHost, type LayerPath } from "../../src/paths.ts";
import { AT_FDCWD, close, O_NOFOLLOW, O_RDONLY, O_TRUNC, O_WRONLY, openAt, writeAll } from "../../src/sys/file.ts";
import type { StitchedFiles } from "./stitch.ts";

const DIGEST_BYTES = 32;
const BUFFER_BYTES = 256 * 1024;

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
  add(digest: string, path: LayerPath): void {
    if (this.#used + DIGEST_BYTES + path.length + 1 > BUFFER_BYTES) this.flush();
    this.#used += this.#buffer.write(digest, this.#used, "latin1");
    this.#used += this.#buffer.write(path, this.#used, "latin1");
    this.#buffer[this.#used++] = 0;
  }

  flush(): void {
    writeAll(this.#fd, this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}

/** Brings the record at `path` up to date with what `stitch` did to the tree beside it. */
export function updateFileDigests(path: HostPath, tree: HostPath, { placeOf, copied }: StitchedFiles): void {
  if (placeOf === null && copied.length === 0) return;
  const records = readFileDigests(path);
  const fd = openAt(AT_FDCWD, path, O_WRONLY | O_TRUNC);
  try {
    const writer = new FileDigestWriter(fd);
    const binary = (hex: string): string => Buffer.from(hex, "hex").toString("latin1");
    for (const record of records) writer.add(binary(record.sha256), placeOf?.(record.path) ?? record.path);
    for (const copy of copied) writer.add(digestOfFile(joinHost(tree, copy)), copy);
    writer.flush();
  } finally {
    close(fd);
  }
}

function digestOfFile(path: HostPath): string {
  const fd = openAt(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW);
  try {
    const hash = createHash("sha256");
    const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    for (let size = readSync(fd, buffer); size > 0; size = readSync(fd, buffer)) hash.update(buffer.subarray(0, size));
    return hash.digest("binary");
  } finally {
    close(fd);
  }
}

export interface FileDigest {
  readonly path: LayerPath;
  /** 64 hex digits. */
  readonly sha256: string;
}

/**
 * The records of a layer, in the order they were unpacked.
 * @throws {IntegrityError} `ERR_FILE_DIGESTS` if the file is cut short
 */
export function readFileDigests(path: HostPath): readonly FileDigest[] {
  const bytes = readFileSync(bytesOf(path));
  const records: FileDigest[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at + DIGEST_BYTES);
    if (end < 0) throw new IntegrityError("ERR_FILE_DIGESTS", `Cannot read "${path}": its last record is cut short`);
    records.push({
      sha256: bytes.toString("hex", at, at + DIGEST_BYTES),
      path: bytes.toString("latin1", at + DIGEST_BYTES, end) as LayerPath,
    });
    at = end + 1;
  }
  return records;
}
