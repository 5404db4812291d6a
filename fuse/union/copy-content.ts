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

/** What is to be known of a file that is copied. */
export type CopiedStat = Pick<Stat, "sizeBytes" | "blocks512" | "devMajor" | "devMinor">;

/**
 * Shares the extents where the file system can, else copies them inside the kernel, holes left out; a small file without
 * holes is faster read and written. `onChunk` is called now and then, and may throw to end it.
 */
export function copyContent(
  { cannotShare }: Pick<Upper, "cannotShare">,
  from: number,
  to: number,
  stat: CopiedStat,
  onChunk: () => void = () => {},
): void {
  const { sizeBytes } = stat;
  if (sizeBytes === 0) return;
  if (sizeBytes <= SMALL_BYTES && stat.blocks512 * 512 >= sizeBytes) {
    copyThroughUs(from, to, 0, sizeBytes);
    return;
  }
  const device = `${stat.devMajor}:${stat.devMinor}`;
  if (!cannotShare.has(device)) {
    if (reflink(from, to)) return;
    cannotShare.add(device);
  }
  for (const [start, end] of dataExtents(from, sizeBytes)) copyExtent(from, to, start, end, onChunk);
  truncate(to, sizeBytes);
}

function copyExtent(from: number, to: number, start: number, end: number, onChunk: () => void): void {
  let at = start;
  try {
    while (at < end) {
      const size = copyRangeAt(from, at, to, at, Math.min(CHUNK_BYTES, end - at));
      if (size === 0) return;
      at += size;
      onChunk();
    }
  } catch (error) {
    if (!isErrno(error, "EXDEV", "EINVAL", "ENOTSUP", "ENOSYS", "EPERM")) throw error;
    for (; at < end; at += CHUNK_BYTES) {
      copyThroughUs(from, to, at, Math.min(end, at + CHUNK_BYTES));
      onChunk();
    }
  }
}

let copyBuffer: Buffer | undefined;

function copyThroughUs(from: number, to: number, start: number, end: number): void {
  copyBuffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
  for (let at = start; at < end; ) {
    const size = readAt(from, copyBuffer, Math.min(copyBuffer.length, end - at), at);
    if (size === 0) return;
    let done = writeAt(to, copyBuffer, size, at);
    while (done < size) done += writeAt(to, copyBuffer.subarray(done), size - done, at + done);
    at += size;
  }
}
