/** Tells a tar by its first header (POSIX ustar; the checksum for older ones). */

const HEADER_BYTES = 512;
const CHECKSUM_OFFSET = 148;
const CHECKSUM_BYTES = 8;

/** True if `start`, a file's first bytes, begin a tar: an empty one is blocks of zeros. */
export function looksLikeTar(start: Uint8Array): boolean {
  if (start.length < HEADER_BYTES) return false;
  const header = Buffer.from(start.buffer, start.byteOffset, HEADER_BYTES);
  if (header.toString("latin1", 257, 262) === "ustar") return true;
  if (header.every((byte) => byte === 0)) return true;
  let sum = CHECKSUM_BYTES * 0x20; // the checksum counts itself as spaces
  for (const [i, byte] of header.entries()) {
    if (i < CHECKSUM_OFFSET || i >= CHECKSUM_OFFSET + CHECKSUM_BYTES) sum += byte;
  }
  const stored = header.toString("latin1", CHECKSUM_OFFSET, CHECKSUM_OFFSET + CHECKSUM_BYTES);
  return Number.parseInt(stored.replaceAll("\0", " ").trim(), 8) === sum;
}
