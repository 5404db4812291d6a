/**
 * How large a layer may be when it is decompressed, told from a few of its bytes: enough to begin with the largest, and
 * nothing to rely on.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { bytesOf } from "../../src/paths.ts";
import type { BlobLocation } from "../formats/source.ts";

/** What layers usually compress to. */
const USUAL_RATIO = 3;

/**
 * gzip has the size of the last member, modulo 2^32, in its last four bytes (RFC 1952 §2.3.1). Anything else is taken
 * for `USUAL_RATIO` times its size if it is compressed.
 */
export function guessExpandedSize({ file, offset, sizeBytes }: BlobLocation): number {
  if (sizeBytes < 18) return sizeBytes; // the smallest gzip member
  const fd = openSync(bytesOf(file), "r");
  try {
    const ends = Buffer.alloc(8);
    readSync(fd, ends, 0, 4, offset);
    readSync(fd, ends, 4, 4, offset + sizeBytes - 4);
    const isGzip = ends.readUInt16BE(0) === 0x1f8b;
    const isZstd = ends.readUInt32BE(0) === 0x28b52ffd;
    if (!isGzip && !isZstd) return sizeBytes;
    return Math.max(sizeBytes * USUAL_RATIO, isGzip ? ends.readUInt32LE(4) : 0);
  } finally {
    closeSync(fd);
  }
}
