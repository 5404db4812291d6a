/** What is to be restored of a directory when all that goes into it is there, as a record of a file. */

import { deserialize, serialize } from "node:v8";
import { byteString, type LayerPath } from "../../src/paths.ts";
import { NO_XATTRS, type TarEntry } from "../tar/entry.ts";

/** Not all of a directory's member: its paths may be others, through symbolic links. */
export type DirectoryMetadata = Pick<TarEntry, "uid" | "gid" | "mode" | "mtimeNs" | "xattrs">;

export interface DirectoryRecord {
  readonly path: LayerPath;
  /** Of its own member of the tar; null for a directory that was made because something is in it. */
  readonly metadata: DirectoryMetadata | null;
  /** The layer has had the directory before: this takes the place of what that was. */
  readonly isAgain: boolean;
}

const AGAIN = 1;
const LISTED = 2;
/** Flags, mode, owner, the length of the path, and the time as two halves. */
const HEADER_BYTES = 1 + 3 + 3 * 4 + 2 * 8;
const NO_METADATA: DirectoryMetadata = { uid: 0, gid: 0, mode: 0, mtimeNs: 0n, xattrs: NO_XATTRS };
const HALF = 64n;

export function encodeDirectory({ path, metadata, isAgain }: DirectoryRecord): Buffer {
  const { mode, uid, gid, mtimeNs, xattrs } = metadata ?? NO_METADATA;
  const attributes = xattrs.size === 0 ? null : serialize(xattrs);
  const record = Buffer.allocUnsafe(HEADER_BYTES + path.length + (attributes?.length ?? 0));
  record.writeUInt8((isAgain ? AGAIN : 0) | (metadata === null ? 0 : LISTED), 0);
  record.writeUIntLE(mode, 1, 3);
  record.writeUInt32LE(uid, 4);
  record.writeUInt32LE(gid, 8);
  record.writeUInt32LE(path.length, 12);
  record.writeBigUInt64LE(BigInt.asUintN(64, mtimeNs), 16);
  record.writeBigInt64LE(mtimeNs >> HALF, 24);
  record.write(path, HEADER_BYTES, "latin1");
  if (attributes !== null) record.set(attributes, HEADER_BYTES + path.length);
  return record;
}

export function decodeDirectory(record: Buffer): DirectoryRecord {
  const flags = record.readUInt8(0);
  const end = HEADER_BYTES + record.readUInt32LE(12);
  const path = byteString(record.subarray(HEADER_BYTES, end)) as LayerPath;
  const isAgain = (flags & AGAIN) !== 0;
  if ((flags & LISTED) === 0) return { path, metadata: null, isAgain };
  const xattrs: DirectoryMetadata["xattrs"] = end === record.length ? NO_XATTRS : deserialize(record.subarray(end));
  const mtimeNs = (record.readBigInt64LE(24) << HALF) | record.readBigUInt64LE(16);
  const metadata = { mode: record.readUIntLE(1, 3), uid: record.readUInt32LE(4), gid: record.readUInt32LE(8), mtimeNs };
  return { path, metadata: { ...metadata, xattrs }, isAgain };
}
