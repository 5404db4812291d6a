/**
 * The headers of most files of a layer, the same bytes that `entryHeaders` makes of them: templates into which only what
 * differs is written. A commit of many files is over before node has optimised its code, so that each call counts.
 */

import { EMPTY_FILE } from "./entry.ts";
import { BLOCK_BYTES } from "./header.ts";
import {
  encodeEntry,
  fractionOf,
  isPlain,
  MAX_ID,
  MAX_SIZE,
  NAME_BYTES,
  splitName,
  writeOctal,
  writeText,
} from "./writer.ts";

/** A regular file without holes, attributes or another name in the tar. */
export interface PlainFile {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  /** The nanoseconds after them. */
  readonly mtimeRest: number;
}

/** The most that `writePlainFile` writes: two headers, and a block with a record. */
export const MOST_PLAIN_BYTES: number = 3 * BLOCK_BYTES;

/** Headers without a name, all numbers 0: of a file, and of one with a record before it. */
const FILE = encodeEntry(EMPTY_FILE);
const TIMED_FILE = encodeEntry({ ...EMPTY_FILE, mtimeNs: 1n }).fill(0, BLOCK_BYTES, 2 * BLOCK_BYTES);
writeOctal(TIMED_FILE, 124, 11, 0);
const FILE_SUM = sumOf(FILE);
const RECORD_SUM = sumOf(TIMED_FILE.subarray(0, BLOCK_BYTES));
const RECORD_NAME_BYTES = "PaxHeaders/".length;

/**
 * Writes the headers of a plain file at `at`, where there is room for `MOST_PLAIN_BYTES`.
 * @returns how many bytes that were; 0, and nothing is written, if it takes more than a record for its time
 */
export function writePlainFile(bytes: Buffer, at: number, file: PlainFile): number {
  const { path, mtimeSeconds, mtimeRest } = file;
  const isInRange = mtimeSeconds >= 0 && mtimeSeconds <= MAX_SIZE && file.sizeBytes <= MAX_SIZE;
  if (!isInRange || file.uid > MAX_ID || file.gid > MAX_ID) return 0;
  const names = splitName(path, isPlain(path));
  if (names === null) return 0;
  if (mtimeRest === 0) {
    bytes.set(FILE, at);
    writeFields(bytes, at, names, file);
    return FILE.length;
  }
  bytes.set(TIMED_FILE, at);
  writeRecord(bytes, at, path, `mtime=${mtimeSeconds}${fractionOf(mtimeRest)}\n`);
  writeFields(bytes, at + 2 * BLOCK_BYTES, names, file);
  return TIMED_FILE.length;
}

/** Into a header that is `FILE`. */
function writeFields(bytes: Buffer, at: number, names: { prefix: string; name: string }, file: PlainFile): void {
  let sum = FILE_SUM + writeText(bytes, at, names.name);
  if (names.prefix !== "") sum += writeText(bytes, at + 345, names.prefix);
  sum += writeDigits(bytes, at + 100, 7, file.mode);
  if (file.uid > 0) sum += writeDigits(bytes, at + 108, 7, file.uid);
  if (file.gid > 0) sum += writeDigits(bytes, at + 116, 7, file.gid);
  sum += writeDigits(bytes, at + 124, 11, file.sizeBytes);
  sum += writeDigits(bytes, at + 136, 11, file.mtimeSeconds);
  writeOctal(bytes, at + 148, 6, sum);
}

/** A record of 10 to 99 bytes without its length, into what `TIMED_FILE` begins with. */
function writeRecord(bytes: Buffer, at: number, path: string, record: string): void {
  const sizeBytes = record.length + 3; // two digits and a space
  const start = path.lastIndexOf("/") + 1;
  let sum =
    RECORD_SUM + writeText(bytes, at + RECORD_NAME_BYTES, path.slice(start, start + NAME_BYTES - RECORD_NAME_BYTES));
  sum += writeDigits(bytes, at + 124, 11, sizeBytes);
  writeOctal(bytes, at + 148, 6, sum);
  writeText(bytes, at + BLOCK_BYTES, `${sizeBytes} ${record}`);
}

/** Returns by how much more than zeros the digits are. */
function writeDigits(bytes: Buffer, at: number, digits: number, value: number): number {
  return writeOctal(bytes, at, digits, value) - digits * ZERO;
}

const ZERO = 0x30;

/** The sum of a header's bytes, its checksum counted as spaces. */
function sumOf(header: Buffer): number {
  const bytes = Buffer.from(header);
  return bytes.fill(" ", 148, 156).reduce((sum, byte) => sum + byte, 0);
}
