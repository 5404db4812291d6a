/**
 * The 512-byte tar header: v7, POSIX ustar, GNU and star layouts (POSIX.1-2024 pax "ustar Interchange Format", GNU tar
 * manual "Basic Tar Format"). Where programs differ this follows Go's archive/tar, which docker and containerd read
 * layers with. Numbers leave here as non-negative safe integers, except the modification time.
 */

import { isAscii } from "node:buffer";
import { bytesOf } from "../../src/paths.ts";
import { refuse, type TarPosition } from "./limits.ts";

export const BLOCK_BYTES = 512;
export const NANOSECONDS = 1_000_000_000n;

/** Start and end of each field. */
const MODE = 100;
const UID = 108;
const GID = 116;
const SIZE = 124;
const MTIME = 136;
const CHECKSUM = 148;
const TYPEFLAG = 156;
const LINK_NAME = 157;
const MAGIC = 257;
const DEVICE_MAJOR = 329;
const DEVICE_MINOR = 337;
const PREFIX = 345;
const PREFIX_END = 500;
/** GNU puts access and change time where ustar has the prefix. */
const GNU_ATIME = 345;
const GNU_CTIME = 357;
const GNU_TIMES_END = 369;
/** star puts them at the end of the prefix, and marks it with "tar" and NUL at the end of the block. */
const STAR_PREFIX_END = 476;
const STAR_TRAILER = 508;

const SPACE = 0x20;
const ZERO = 0x30;
const MAX_SECONDS = 2n ** 63n;

export type HeaderFormat = "v7" | "ustar" | "gnu";

/** The fields of one header. The reader keeps one and parses into it, so that a plain member allocates only its entry. */
export class Header {
  path = "";
  linkTarget = "";
  mode = 0;
  uid = 0;
  gid = 0;
  sizeBytes = 0;
  mtimeNs = 0n;
  typeflag = 0;
  format: HeaderFormat = "v7";
}

/**
 * Parses the header at `at` of `block` into `header`; false, and nothing changed, if it is a block of zeros. Sets
 * `where.name`.
 * @throws {IntegrityError} `ERR_TAR_CHECKSUM`, `ERR_TAR_NUMBER`
 */
export function parseHeader(block: Buffer, at: number, header: Header, where: TarPosition): boolean {
  let sum = 0;
  for (let i = at; i < at + BLOCK_BYTES; i++) sum += block[i] as number;
  if (sum === 0) return false;
  checkSum(block, at, sum, where);

  header.format = formatOf(block, at);
  header.path = readString(block, at, at + MODE);
  if (header.format !== "v7") addPrefix(block, at, header);
  where.name = header.path;
  header.typeflag = block[at + TYPEFLAG] as number;
  header.linkTarget = block[at + LINK_NAME] === 0 ? "" : readString(block, at + LINK_NAME, at + MAGIC);
  header.mode = readNumber(block, at + MODE, at + UID, "mode", where) & 0o7777;
  header.uid = readNumber(block, at + UID, at + GID, "uid", where);
  header.gid = readNumber(block, at + GID, at + SIZE, "gid", where);
  header.sizeBytes = readNumber(block, at + SIZE, at + MTIME, "size", where);
  header.mtimeNs = readTime(block, at + MTIME, at + CHECKSUM, where);
  return true;
}

/** The device numbers of a header. Only those of a device mean anything: others may hold any bytes. */
export function parseDevice(block: Buffer, at: number, where: TarPosition): { major: number; minor: number } {
  return {
    major: readNumber(block, at + DEVICE_MAJOR, at + DEVICE_MINOR, "device major", where),
    minor: readNumber(block, at + DEVICE_MINOR, at + PREFIX, "device minor", where),
  };
}

/** Accepts the sum of unsigned bytes (POSIX) and that of signed bytes (some old programs), as GNU tar and Go do. */
function checkSum(block: Buffer, at: number, sum: number, where: TarPosition): void {
  let unsigned = sum + 8 * SPACE;
  for (let i = at + CHECKSUM; i < at + TYPEFLAG; i++) unsigned -= block[i] as number;
  const recorded = parseOctal(block, at + CHECKSUM, at + TYPEFLAG);
  if (recorded === unsigned) return;
  let signed = unsigned;
  for (let i = at; i < at + BLOCK_BYTES; i++) {
    if ((block[i] as number) >= 0x80 && (i < at + CHECKSUM || i >= at + TYPEFLAG)) signed -= 256;
  }
  if (recorded === signed) return;
  const name = readString(block, at, at + MODE);
  if (/^[\x20-\x7e]+$/.test(name)) where.name = name;
  throw refuse(where, "ERR_TAR_CHECKSUM", "its checksum is wrong");
}

function formatOf(block: Buffer, at: number): HeaderFormat {
  const m = at + MAGIC;
  if (block[m] !== 0x75 || block.toString("latin1", m, m + 5) !== "ustar") return "v7";
  if (block[m + 5] === 0) return "ustar";
  return block[m + 5] === SPACE && block[m + 6] === SPACE && block[m + 7] === 0 ? "gnu" : "v7";
}

function addPrefix(block: Buffer, at: number, header: Header): void {
  if (block[at + PREFIX] === 0) return;
  const isStar = block.toString("latin1", at + STAR_TRAILER, at + BLOCK_BYTES) === "tar\0";
  const end = isStar && header.format === "ustar" ? STAR_PREFIX_END : PREFIX_END;
  const prefix = readString(block, at + PREFIX, at + end);
  if (header.format === "gnu") {
    // Go before 1.8 wrote some GNU headers with a prefix, and docker images of that time hold them: golang/go#12594.
    const atime = parseNumeric(block, at + GNU_ATIME, at + GNU_CTIME);
    const ctime = parseNumeric(block, at + GNU_CTIME, at + GNU_TIMES_END);
    if ((atime !== null && ctime !== null) || !isAscii(bytesOf(prefix))) return;
  }
  header.path = `${prefix}/${header.path}`;
}

/** The bytes up to the first NUL, or all. */
export function readString(block: Buffer, start: number, limit: number): string {
  let end = start;
  while (end < limit && block[end] !== 0) end++;
  return block.toString("latin1", start, end);
}

/**
 * A size, id or the like. @throws {IntegrityError} `ERR_TAR_NUMBER` if it is malformed, negative or beyond 2^53 - 1.
 */
export function readNumber(block: Buffer, start: number, end: number, field: string, where: TarPosition): number {
  const octal = parseOctal(block, start, end);
  if (octal >= 0) return octal;
  const value = parseNumeric(block, start, end);
  if (value === null) throw refuse(where, "ERR_TAR_NUMBER", `its ${field} field is not a number`);
  if (value < 0n) throw refuse(where, "ERR_TAR_NUMBER", `its ${field} is negative (${value})`);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw refuse(where, "ERR_TAR_NUMBER", `its ${field} is too large (${value})`);
  }
  return Number(value);
}

function readTime(block: Buffer, start: number, end: number, where: TarPosition): bigint {
  const octal = parseOctal(block, start, end);
  if (octal >= 0) return BigInt(octal) * NANOSECONDS;
  const value = parseNumeric(block, start, end);
  if (value === null) throw refuse(where, "ERR_TAR_NUMBER", "its modification time is not a number");
  return secondsToNs(value, where);
}

/** @throws {IntegrityError} `ERR_TAR_NUMBER` if the kernel's 64-bit seconds cannot hold it. */
export function secondsToNs(seconds: bigint, where: TarPosition): bigint {
  if (seconds >= MAX_SECONDS || seconds < -MAX_SECONDS) {
    throw refuse(where, "ERR_TAR_NUMBER", `its modification time is out of range (${seconds} seconds)`);
  }
  return seconds * NANOSECONDS;
}

/**
 * Leading spaces, octal digits, then spaces and a NUL, or the end of the field; -1 if that is not what is there. What
 * follows the NUL is not looked at, and an empty field is 0, as in Go.
 */
function parseOctal(block: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && block[i] === SPACE) i++;
  const first = i;
  let value = 0;
  for (; i < end; i++) {
    const digit = (block[i] as number) - ZERO;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  const isEmpty = i === first;
  while (i < end && block[i] === SPACE) i++;
  if (i === end) return value;
  if (block[i] !== 0) return -1;
  // Where a NUL comes first, digits after it count for some programs.
  for (; isEmpty && i < end; i++) if (block[i] !== SPACE && block[i] !== 0) return -1;
  return value;
}

/** Octal, or GNU's base-256: two's complement, big-endian, of which the very first bit is a mark. null if neither. */
function parseNumeric(block: Buffer, start: number, end: number): bigint | null {
  const first = block[start] as number;
  if (first < 0x80) {
    const octal = parseOctal(block, start, end);
    return octal < 0 ? null : BigInt(octal);
  }
  const hex = block.toString("hex", start + 1, end);
  const bits = 8 * (end - start) - 1; // without the mark; the next bit is the sign
  return BigInt.asIntN(bits, (BigInt(first & 0x7f) << BigInt(8 * (end - start - 1))) | BigInt(`0x${hex}`));
}
