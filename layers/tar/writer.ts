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
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
/** The most that 7 and 11 octal digits hold. */
const MAX_ID = 0o7777777;
const MAX_SIZE = 0o77777777777;

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

/**
 * The headers of `entry`, in whole blocks. What must follow is `dataBytesOf(entry)` bytes (all of the file, or of its
 * extents in order) and `paddingFor` that many. A directory gets a slash at its end. Extents must be in order, without
 * overlap and inside the file; all but the last should be multiples of 512 bytes, without which GNU tar cannot restore
 * them, as the ones that `lseek(SEEK_DATA)` finds are.
 */
export function encodeEntry(entry: TarEntry): Buffer {
  const records = new Map<string, Buffer>();
  const path = entry.type === "directory" && !entry.path.endsWith("/") ? `${entry.path || "."}/` : entry.path;
  const map = entry.type === "file" && entry.extents !== null ? encodeSparseMap(entry.extents, entry.sizeBytes) : null;
  const sizeBytes = dataBytesOf(entry) + (map?.length ?? 0);
  if (map !== null) {
    records.set("GNU.sparse.major", Buffer.from("1"));
    records.set("GNU.sparse.minor", Buffer.from("0"));
    records.set("GNU.sparse.name", bytesOf(path));
    records.set("GNU.sparse.realsize", Buffer.from(String(entry.sizeBytes)));
  }
  // Programs that do not know the format extract the map with the data: under a name of its own, as GNU tar does it.
  const names = map === null ? splitName(path) : { prefix: "", name: shorten("GNUSparseFile.0/", path) };
  if (names === null) records.set("path", bytesOf(path));
  const linkFits = entry.linkTarget.length <= NAME_BYTES && isPlain(entry.linkTarget);
  if (!linkFits) records.set("linkpath", bytesOf(entry.linkTarget));
  if (!isUtf8(bytesOf(path)) || !isUtf8(bytesOf(entry.linkTarget))) records.set("hdrcharset", Buffer.from("BINARY"));
  addXattrs(entry, records);

  const header = encodeHeader({
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
  });
  const parts = records.size === 0 ? [] : encodePax(records, path);
  if (parts.length === 0 && map === null) return header;
  parts.push(header);
  if (map !== null) parts.push(map);
  return Buffer.concat(parts);
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

/** Sorted by name, as all records are; "%" and "=" in names are escaped as GNU tar and libarchive do. */
function addXattrs(entry: TarEntry, records: Map<string, Buffer>): void {
  for (const [name, value] of entry.xattrs) {
    const escaped = name.replace(/[%=]/g, (character) => (character === "%" ? "%25" : "%3D"));
    records.set(`SCHILY.xattr.${escaped}`, Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  }
  for (const kind of ["access", "default"]) {
    const value = entry.xattrs.get(`system.posix_acl_${kind}`);
    const text = value === undefined ? null : aclToText(value);
    if (text !== null) records.set(`SCHILY.acl.${kind}`, Buffer.from(text));
  }
}

function fitOrRecord(value: number, most: number, key: string, records: Map<string, Buffer>): number {
  if (value <= most) return value;
  records.set(key, Buffer.from(String(value)));
  return 0;
}

/** Whole seconds for the header; anything else is recorded as well. */
function fitOrRecordTime(timeNs: bigint, records: Map<string, Buffer>): number {
  if (timeNs >= 0n && timeNs % NANOSECONDS === 0n && timeNs / NANOSECONDS <= MAX_SIZE)
    return Number(timeNs / NANOSECONDS);
  records.set("mtime", Buffer.from(formatTime(timeNs)));
  return timeNs < 0n || timeNs / NANOSECONDS > MAX_SIZE ? 0 : Number(timeNs / NANOSECONDS);
}

/** "-1.5" is 1.5 seconds before 1970. */
function formatTime(timeNs: bigint): string {
  const absolute = timeNs < 0n ? -timeNs : timeNs;
  const fraction = String(absolute % NANOSECONDS)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${timeNs < 0n ? "-" : ""}${absolute / NANOSECONDS}${fraction === "" ? "" : `.${fraction}`}`;
}

/** A PAX header: its own header block, and the padded records. */
function encodePax(records: ReadonlyMap<string, Buffer>, path: string): Buffer[] {
  const parts: Buffer[] = [];
  let sizeBytes = 0;
  for (const key of [...records.keys()].sort()) {
    const value = records.get(key) as Buffer;
    const start = recordStart(key, value.length);
    parts.push(start, value, RECORD_END);
    sizeBytes += start.length + value.length + 1;
  }
  const header = encodeHeader({
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
  return [header, ...parts, paddingFor(sizeBytes)];
}

const RECORD_END = Buffer.from("\n");

/** "LENGTH KEY=", where the length counts itself, and the newline that ends the record. */
function recordStart(key: string, valueBytes: number): Buffer {
  const rest = key.length + valueBytes + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length; // one digit more can make it one digit longer
  return bytesOf(`${length} ${key}=`);
}

/** How the ustar fields hold a name; null if they cannot. The prefix is the longest that a slash ends (as in Go). */
function splitName(path: string): { readonly prefix: string; readonly name: string } | null {
  if (!isPlain(path)) return null;
  if (path.length <= NAME_BYTES) return { prefix: "", name: path };
  const slash = path.lastIndexOf("/", Math.min(PREFIX_BYTES, path.length - 2));
  const name = path.slice(slash + 1);
  return slash <= 0 || name.length > NAME_BYTES ? null : { prefix: path.slice(0, slash), name };
}

/** `start` and the last component of a path, as far as a name field holds it: for headers that a PAX record overrules. */
function shorten(start: string, path: string): string {
  const base = path.replace(/\/+$/, "");
  const name = base.slice(base.lastIndexOf("/") + 1).replace(/[^\x20-\x7e]/g, "_");
  return start + name.slice(0, NAME_BYTES - start.length);
}

/** Printable ASCII: what every program reads alike. */
function isPlain(bytes: string): boolean {
  return !/[^\x20-\x7e]/.test(bytes);
}

function encodeHeader(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(fields.name, 0, "latin1");
  writeOctal(block, 100, 8, fields.mode);
  writeOctal(block, 108, 8, fields.uid);
  writeOctal(block, 116, 8, fields.gid);
  writeOctal(block, 124, 12, fields.sizeBytes);
  writeOctal(block, 136, 12, fields.mtimeSeconds);
  block.write(fields.typeflag, 156, "latin1");
  block.write(fields.linkName, 157, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  writeOctal(block, 329, 8, fields.deviceMajor);
  writeOctal(block, 337, 8, fields.deviceMinor);
  block.write(fields.prefix, 345, "latin1");
  let sum = 8 * 0x20; // the checksum field counts as spaces
  for (let i = 0; i < BLOCK_BYTES; i++) sum += block[i] as number;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** As many digits as fit before a NUL. */
function writeOctal(block: Buffer, at: number, width: number, value: number): void {
  block.write(value.toString(8).padStart(width - 1, "0"), at, "latin1");
}
