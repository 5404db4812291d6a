/**
 * The file `layers/NAME/files`: the sha256 of every regular file of an unpacked layer, in the order they were unpacked.
 * A record is the 32 bytes of the digest, the path, and a NUL. Hard links are recorded once, under the first name.
 */

import { readFileSync } from "node:fs";
import { IntegrityError } from "../../src/errors.ts";
import { bytesOf, type HostPath, type LayerPath } from "../../src/paths.ts";
import { writeAll } from "../../src/sys/file.ts";

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
