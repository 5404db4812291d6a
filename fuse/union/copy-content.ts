/** Copies a regular file's content from one layer to another, with as little of it passing through us as can be. */

import { isErrno } from "../../src/errors.ts";
import { dataExtents, reflink } from "../../src/sys/copy.ts";
import { copyRangeAt, readAt, writeAt } from "../../src/sys/data.ts";
import { truncate } from "../../src/sys/file.ts";
import type { Stat } from "../../src/sys/stat.ts";
import type { Upper } from "./workdir.ts";

const CHUNK_BYTES = 8 << 20;
const BUFFER_BYTES = 1 << 20;
const SMALL_BYTES = 128 << 10;

/**
 * Shares the extents where the file system can, else copies them inside the kernel, holes left out; a small file without
 * holes is faster read and written.
 */
export function copyContent(upper: Upper, from: number, to: number, stat: Stat): void {
  const { sizeBytes } = stat;
  if (sizeBytes === 0) return;
  if (sizeBytes <= SMALL_BYTES && stat.blocks512 * 512 >= sizeBytes) {
    copyThroughUs(from, to, 0, sizeBytes);
    return;
  }
  const device = `${stat.devMajor}:${stat.devMinor}`;
  if (!upper.cannotShare.has(device)) {
    if (reflink(from, to)) return;
    upper.cannotShare.add(device);
  }
  for (const [start, end] of dataExtents(from, sizeBytes)) copyExtent(from, to, start, end);
  truncate(to, sizeBytes);
}

function copyExtent(from: number, to: number, start: number, end: number): void {
  let at = start;
  try {
    while (at < end) {
      const size = copyRangeAt(from, at, to, at, Math.min(CHUNK_BYTES, end - at));
      if (size === 0) return;
      at += size;
    }
  } catch (error) {
    if (!isErrno(error, "EXDEV", "EINVAL", "ENOTSUP", "ENOSYS", "EPERM")) throw error;
    copyThroughUs(from, to, at, end);
  }
}

let copyBuffer: Buffer | undefined;

function copyThroughUs(from: number, to: number, start: number, end: number): void {
  copyBuffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
  for (let at = start; at < end; ) {
    const size = readAt(from, copyBuffer, Math.min(copyBuffer.length, end - at), at);
    if (size === 0) return;
    for (let done = 0; done < size; ) done += writeAt(to, copyBuffer.subarray(done), size - done, at + done);
    at += size;
  }
}
