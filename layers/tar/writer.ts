/**
 * Writes layer tars. The same entry gives the same bytes: a ustar header, with a PAX header in front only where ustar
 * cannot hold what there is, its records sorted by key. User and group names stay empty.
 *
 * A name goes into the ustar fields if it is printable ASCII and fits, with the longest prefix that does (as in Go), else into a
 * record `path`. ACLs are written twice: raw as `SCHILY.xattr.system.posix_acl_*`, which Go's programs (docker, podman,
 * umoci) and our reader restore exactly, and as text in `SCHILY.acl.*`, the only form that bsdtar and GNU tar's --acls
 * look at.
 */

import { isUtf8 } from "node:buffer";
import { bytesOf } from "../../src/paths.ts";
import { aclToText } from "./acl.ts";
import type { EntryType, TarEntry } from "./entry.ts";
import { BLOCK_BYTES, NANOSECONDS } from "./header.ts";
import { encodeSparseMap } from "./sparse.ts";

/** Two blocks of zeros: what ends an archive. */
export const END_OF_ARCHIVE: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

const NO_PADDING = Buffer.alloc(0);
const [NEWLINE, SPACE, ZERO, SLASH] = [0x0a, 0x20, 0x30, 0x2f];
/** What every header has. Setting it, and counting what is put into it, takes half as long as filling and summing. */
const BLANK_HEADER: Buffer = Buffer.alloc(BLOCK_BYTES);
BLANK_HEADER.write("ustar\x0000", 257, "latin1");
BLANK_HEADER.write(" ", 155, "latin1"); // behind the checksum, which itself counts as spaces
const BLANK_SUM = BLANK_HEADER.reduce((sum, byte) => sum + byte, 7 * SPACE);
/** Added to a time's billionths for their leading zeros. */
const BILLION = 1_000_000_000;
export const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** The most that 7 and 11 octal digits hold. */
export const MAX_ID = 0o7777777;
export const MAX_SIZE = 0o77777777777;

/** The most that bitwise operators take. */
const MAX_INT = 0x7fffffff;

const TYPEFLAGS: Readonly<Record<EntryType, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

/** What a header block is made of; numbers fit their fields. */
interface HeaderFields {
  readonly prefix: string;
  readonly name: string;
  readonly typeflag: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeSeconds: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** The headers of an entry: how many bytes they are, and how to write them where there is room for as many. */
export interface EntryHeaders {
  readonly sizeBytes: number;
  writeTo(bytes: Buffer, at: number): void;
}

/** As `entryHeaders`, in memory of their own. */
export function encodeEntry(entry: TarEntry): Buffer {
  const headers = entryHeaders(entry);
  const bytes = Buffer.allocUnsafe(headers.sizeBytes);
  headers.writeTo(bytes, 0);
  return bytes;
}

/**
 * The headers of `entry`, in whole blocks. What must follow is `dataBytesOf(entry)` bytes (all of the file, or of its
 * extents in order) and `paddingFor` that many. A directory gets a slash at its end. Extents must be in order, without
 * overlap and inside the file; all but the last should be multiples of 512 bytes, without which GNU tar cannot restore
 * them, as the ones that `lseek(SEEK_DATA)` finds are.
 */
export function entryHeaders(entry: TarEntry): EntryHeaders {
  const records: PaxRecord[] = [];
  const path = entry.type === "directory" && !entry.path.endsWith("/") ? `${entry.path || "."}/` : entry.path;
  const map = entry.type === "file" && entry.extents !== null ? encodeSparseMap(entry.extents, entry.sizeBytes) : null;
  const sizeBytes = dataBytesOf(entry) + (map?.length ?? 0);
  if (map !== null) {
    record(records, "GNU.sparse.major", "1");
    record(records, "GNU.sparse.minor", "0");
    record(records, "GNU.sparse.name", path);
    record(records, "GNU.sparse.realsize", String(entry.sizeBytes));
  }
  const isPlainPath = isPlain(path);
  const isPlainLink = isPlain(entry.linkTarget);
  // Programs that do not know the format extract the map with the data: under a name of its own, as GNU tar does it.
  const names = map === null ? splitName(path, isPlainPath) : { prefix: "", name: shorten("GNUSparseFile.0/", path) };
  if (names === null) record(records, "path", path);
  const linkFits = entry.linkTarget.length <= NAME_BYTES && isPlainLink;
  if (!linkFits) record(records, "linkpath", entry.linkTarget);
  const isText = (isPlainPath || isUtf8(bytesOf(path))) && (isPlainLink || isUtf8(bytesOf(entry.linkTarget)));
  if (!isText) record(records, "hdrcharset", "BINARY");
  if (entry.xattrs.size > 0) addXattrs(entry, records);

  const fields: HeaderFields = {
    prefix: names?.prefix ?? "",
    name: names?.name ?? shorten("", path),
    typeflag: TYPEFLAGS[entry.type],
    linkName: linkFits ? entry.linkTarget : shorten("", entry.linkTarget),
    mode: entry.mode,
    uid: fitOrRecord(entry.uid, MAX_ID, "uid", records),
    gid: fitOrRecord(entry.gid, MAX_ID, "gid", records),
    sizeBytes: fitOrRecord(sizeBytes, MAX_SIZE, "size", records),
    mtimeSeconds: fitOrRecordTime(entry.mtimeNs, records),
    deviceMajor: entry.deviceMajor,
    deviceMinor: entry.deviceMinor,
  };
  const paxBytes = records.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const start = paxBytes === 0 ? 0 : BLOCK_BYTES + wholeBlocks(paxBytes);
  return {
    sizeBytes: start + BLOCK_BYTES + (map?.length ?? 0),
    writeTo: (bytes, at) => {
      if (start > 0) writePax(bytes, at, records, paxBytes, path);
      writeHeader(bytes, at + start, fields);
      map?.copy(bytes, at + start + BLOCK_BYTES);
    },
  };
}

/** How many bytes of data follow an entry's headers. */
export function dataBytesOf(entry: TarEntry): number {
  if (entry.type !== "file") return 0;
  if (entry.extents === null) return entry.sizeBytes;
  return entry.extents.reduce((sum, extent) => sum + extent.lengthBytes, 0);
}

/** The zeros that fill up the last block after `byteCount` bytes of data. */
export function paddingFor(byteCount: number): Buffer {
  const rest = byteCount % BLOCK_BYTES;
  return rest === 0 ? NO_PADDING : END_OF_ARCHIVE.subarray(0, BLOCK_BYTES - rest);
}

/** A record of a PAX header. */
interface PaxRecord {
  readonly key: string;
  /** A byte string, or bytes. */
  readonly value: string | Buffer;
  /** Of the whole record. */
  readonly sizeBytes: number;
}

/** "LENGTH KEY=VALUE\n", where the length counts itself. */
function record(records: PaxRecord[], key: string, value: string | Buffer): void {
  const rest = key.length + value.length + 3;
  const guess = rest + String(rest).length;
  const sizeBytes = rest + String(guess).length; // one digit more can make it one digit longer
  records.push({ key, value, sizeBytes });
}

/** "%" and "=" in names are escaped as GNU tar and libarchive do. */
function addXattrs(entry: TarEntry, records: PaxRecord[]): void {
  for (const [name, value] of entry.xattrs) {
    const escaped = name.replace(/[%=]/g, (character) => (character === "%" ? "%25" : "%3D"));
    record(records, `SCHILY.xattr.${escaped}`, Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  }
  for (const kind of ["access", "default"]) {
    const value = entry.xattrs.get(`system.posix_acl_${kind}`);
    const text = value === undefined ? null : aclToText(value);
    if (text !== null) record(records, `SCHILY.acl.${kind}`, Buffer.from(text));
  }
}

function fitOrRecord(value: number, most: number, key: string, records: PaxRecord[]): number {
  if (value <= most) return value;
  record(records, key, String(value));
  return 0;
}

/** Whole seconds for the header; anything else is recorded as well. */
function fitOrRecordTime(timeNs: bigint, records: PaxRecord[]): number {
  const seconds = Number(timeNs / NANOSECONDS);
  const fits = timeNs >= 0n && seconds <= MAX_SIZE;
  if (!fits || timeNs % NANOSECONDS !== 0n) record(records, "mtime", formatTime(timeNs));
  return fits ? seconds : 0;
}

/** "-1.5" is 1.5 seconds before 1970. */
function formatTime(timeNs: bigint): string {
  const absolute = timeNs < 0n ? -timeNs : timeNs;
  const seconds = `${timeNs < 0n ? "-" : ""}${absolute / NANOSECONDS}`;
  return seconds + fractionOf(Number(absolute % NANOSECONDS));
}

/** ".5", or "" for none. */
export function fractionOf(nanoseconds: number): string {
  let fraction = BILLION + nanoseconds;
  while (fraction % 10 === 0) fraction /= 10;
  return fraction === 1 ? "" : `.${String(fraction).slice(1)}`;
}

/** A PAX header: its own header block, and the records, sorted by key and padded. */
function writePax(bytes: Buffer, start: number, records: PaxRecord[], sizeBytes: number, path: string): void {
  writeHeader(bytes, start, {
    prefix: "",
    name: shorten("PaxHeaders/", path),
    typeflag: "x",
    linkName: "",
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes,
    mtimeSeconds: 0,
    deviceMajor: 0,
    deviceMinor: 0,
  });
  let at = start + BLOCK_BYTES;
  for (const { key, value, sizeBytes } of records.sort(byKey)) {
    const end = at + sizeBytes - 1;
    const start = `${sizeBytes} ${key}=`;
    writeText(bytes, at, start);
    if (typeof value === "string") writeText(bytes, at + start.length, value);
    else value.copy(bytes, at + start.length);
    bytes[end] = NEWLINE;
    at = end + 1;
  }
  const padding = paddingFor(sizeBytes);
  padding.copy(bytes, at);
}

function byKey(a: PaxRecord, b: PaxRecord): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

function wholeBlocks(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** How the ustar fields hold a name; null if they cannot. The prefix is the longest that a slash ends (as in Go). */
export function splitName(path: string, isPlain: boolean): { readonly prefix: string; readonly name: string } | null {
  if (!isPlain) return null;
  if (path.length <= NAME_BYTES) return { prefix: "", name: path };
  const slash = path.lastIndexOf("/", Math.min(PREFIX_BYTES, path.length - 2));
  const name = path.slice(slash + 1);
  return slash <= 0 || name.length > NAME_BYTES ? null : { prefix: path.slice(0, slash), name };
}

/** `start` and the last component of a path, as far as a name field holds it: for headers that a PAX record overrules. */
function shorten(start: string, path: string): string {
  let end = path.length;
  while (end > 0 && path.charCodeAt(end - 1) === SLASH) end--;
  const begin = end === 0 ? 0 : path.lastIndexOf("/", end - 1) + 1;
  return start + path.slice(begin, Math.min(end, begin + NAME_BYTES - start.length)).replace(/[^\x20-\x7e]/g, "_");
}

/** Printable ASCII: what every program reads alike. */
export function isPlain(bytes: string): boolean {
  return !/[^\x20-\x7e]/.test(bytes);
}

function writeHeader(bytes: Buffer, at: number, fields: HeaderFields): void {
  bytes.set(BLANK_HEADER, at);
  let sum = BLANK_SUM + fields.typeflag.charCodeAt(0);
  bytes[at + 156] = fields.typeflag.charCodeAt(0);
  sum += writeText(bytes, at, fields.name);
  sum += writeOctal(bytes, at + 100, 7, fields.mode);
  sum += writeOctal(bytes, at + 108, 7, fields.uid);
  sum += writeOctal(bytes, at + 116, 7, fields.gid);
  sum += writeOctal(bytes, at + 124, 11, fields.sizeBytes);
  sum += writeOctal(bytes, at + 136, 11, fields.mtimeSeconds);
  sum += writeText(bytes, at + 157, fields.linkName);
  sum += writeOctal(bytes, at + 329, 7, fields.deviceMajor);
  sum += writeOctal(bytes, at + 337, 7, fields.deviceMinor);
  sum += writeText(bytes, at + 345, fields.prefix);
  writeOctal(bytes, at + 148, 6, sum);
}

/** With leading zeros; returns the sum of the bytes. What follows is a NUL already. */
export function writeOctal(bytes: Buffer, at: number, digits: number, value: number): number {
  let sum = digits * ZERO;
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    const digit = rest & 7;
    bytes[i] = ZERO + digit;
    sum += digit;
    rest = rest > MAX_INT ? Math.floor(rest / 8) : rest >> 3; // shifting is many times faster than dividing
  }
  return sum;
}

/** A byte string; returns the sum of the bytes. Most are too short for a native call to pay. */
export function writeText(bytes: Buffer, at: number, text: string): number {
  let sum = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text.charCodeAt(i);
    bytes[at + i] = byte;
    sum += byte;
  }
  return sum;
}
