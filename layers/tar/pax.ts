/**
 * PAX extended headers (POSIX.1-2024 pax "pax Extended Header"): records "LENGTH KEY=VALUE\n" whose values are bytes.
 * Keys that mean nothing to a file on Linux are skipped. Where POSIX leaves a choice, or a header could be read in two
 * ways by two programs, the record is refused or read as Go's archive/tar does, and the comment there says so.
 */

import { display } from "../../src/paths.ts";
import { secondsToNs } from "./header.ts";
import { refuse, type TarLimits, type TarPosition, XATTR_NAME_BYTES, XATTR_VALUE_BYTES } from "./limits.ts";

const SPACE = 0x20;
const NEWLINE = 0x0a;
const EQUALS = 0x3d;
const ZERO = 0x30;

const SCHILY_XATTR = "SCHILY.xattr.";
const LIBARCHIVE_XATTR = "LIBARCHIVE.xattr.";

/** What the PAX headers in force say about a member; null where they say nothing. */
export class PaxFields {
  path: string | null = null;
  linkPath: string | null = null;
  sizeBytes: number | null = null;
  uid: number | null = null;
  gid: number | null = null;
  mtimeNs: bigint | null = null;
  /** `SCHILY.realsize`: star's size of a sparse file once restored. */
  realSizeBytes: number | null = null;
  accessAcl: string | null = null;
  defaultAcl: string | null = null;
  selinux: string | null = null;
  /** null if there are none. */
  xattrs: Map<string, Uint8Array> | null = null;
  /** `GNU.sparse.*` records, uninterpreted. */
  sparseRecords: Map<string, string> | null = null;
  /** Offsets and lengths by turns, of sparse format 0.0, which repeats its keys. */
  sparseNumbers: number[] | null = null;
  /** Names as written in `LIBARCHIVE.xattr.` keys: bsdtar repeats each under `SCHILY.xattr.` with the same escapes. */
  libarchiveNames: Set<string> | null = null;
  xattrBytes = 0;

  /** A copy to change: a member's own header goes on top of the global one, which has no xattrs and no sparse map. */
  clone(): PaxFields {
    return Object.assign(new PaxFields(), this);
  }
}

/** What parsing a header needs besides its bytes. */
export interface PaxContext {
  readonly limits: TarLimits;
  readonly where: TarPosition;
  /** Typeflag "g": applies to all members that follow. */
  readonly global: boolean;
}

/**
 * Applies the records in `body` to `fields`, in order. Keeps no reference to `body`.
 * @throws {IntegrityError} `ERR_TAR_PAX`, `ERR_TAR_NUMBER`, `ERR_TAR_NAME`, `ERR_TAR_XATTR`, `ERR_TAR_LIMIT`
 */
export function applyPax(body: Buffer, fields: PaxFields, context: PaxContext): void {
  for (let at = 0; at < body.length; ) {
    let length = 0;
    let i = at;
    for (; i < body.length && body[i] !== SPACE; i++) {
      const digit = (body[i] as number) - ZERO;
      if (digit < 0 || digit > 9 || i - at > 8) throw malformed(context, "a record whose length is not a number");
      length = length * 10 + digit;
    }
    const end = at + length; // just after the newline
    if (end > body.length || end <= i + 1 || body[end - 1] !== NEWLINE) {
      throw malformed(context, "a record that does not end where its length says");
    }
    const equals = body.indexOf(EQUALS, i + 1);
    if (equals <= i + 1 || equals >= end) throw malformed(context, "a record without a key");
    applyRecord(body.toString("latin1", i + 1, equals), body.subarray(equals + 1, end - 1), fields, context);
    at = end;
  }
}

function malformed(context: PaxContext, state: string): Error {
  return refuse(context.where, "ERR_TAR_PAX", `its PAX header has ${state}`);
}

/** An empty value takes away what an earlier record said, and the header block counts again (as in Go). */
function applyRecord(key: string, value: Buffer, fields: PaxFields, context: PaxContext): void {
  if (context.global && isMembersOwn(key)) {
    throw malformed(context, `a global record "${key}", which can only be true of one member`);
  }
  const empty = value.length === 0;
  switch (key) {
    case "path":
      fields.path = empty ? null : parsePath(value, context);
      if (fields.path !== null) context.where.name = fields.path;
      return;
    case "linkpath":
      fields.linkPath = empty ? null : parsePath(value, context);
      return;
    case "size":
      fields.sizeBytes = empty ? null : parseNumber(value, key, context);
      return;
    case "uid":
      fields.uid = empty ? null : parseNumber(value, key, context);
      return;
    case "gid":
      fields.gid = empty ? null : parseNumber(value, key, context);
      return;
    case "mtime":
      fields.mtimeNs = empty ? null : parseTime(value, context);
      return;
    case "SCHILY.realsize":
      fields.realSizeBytes = empty ? null : parseNumber(value, key, context);
      return;
    case "SCHILY.acl.access":
      fields.accessAcl = empty ? null : value.toString("latin1");
      return;
    case "SCHILY.acl.default":
      fields.defaultAcl = empty ? null : value.toString("latin1");
      return;
    case "RHT.security.selinux":
      fields.selinux = empty ? null : value.toString("latin1");
      return;
  }
  if (key.startsWith(SCHILY_XATTR)) applySchilyXattr(key.slice(SCHILY_XATTR.length), value, fields, context);
  else if (key.startsWith(LIBARCHIVE_XATTR)) {
    applyLibarchiveXattr(key.slice(LIBARCHIVE_XATTR.length), value, fields, context);
  } else if (key.startsWith("GNU.sparse.")) applySparse(key, value, fields, context);
}

/**
 * Programs disagree on whether these apply from a global header (docker ignores it), so what they mean is unknown; and
 * a few kilobytes could put ten thousand xattrs on every file.
 */
function isMembersOwn(key: string): boolean {
  if (["path", "linkpath", "size", "SCHILY.realsize"].includes(key)) return true;
  return [SCHILY_XATTR, LIBARCHIVE_XATTR, "GNU.sparse."].some((prefix) => key.startsWith(prefix));
}

/** GNU tar and libarchive escape "=", which would end the key, and with it "%"; other escapes are the name's own. */
function applySchilyXattr(escaped: string, value: Buffer, fields: PaxFields, context: PaxContext): void {
  if (fields.libarchiveNames?.has(escaped)) return; // already here, and there the escapes are unambiguous
  const name = escaped.includes("%") ? escaped.replace(/%(3D|25)/g, (code) => (code === "%25" ? "%" : "=")) : escaped;
  setXattr(name, Buffer.from(value), fields, context);
}

/** The name is url-encoded, the value base64 without padding. */
function applyLibarchiveXattr(encoded: string, value: Buffer, fields: PaxFields, context: PaxContext): void {
  const text = value.toString("latin1");
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.replace(/=+$/, "").length % 4 === 1) {
    throw refuse(context.where, "ERR_TAR_XATTR", `its xattr "${display(encoded)}" is not base64`);
  }
  if (encoded.includes("%")) {
    fields.libarchiveNames ??= new Set();
    fields.libarchiveNames.add(encoded);
  }
  const name = encoded.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  setXattr(name, Buffer.from(text, "base64"), fields, context);
}

/** An empty value is an xattr with an empty value, as GNU tar and libarchive mean it, and takes nothing away. */
function setXattr(name: string, value: Buffer, fields: PaxFields, context: PaxContext): void {
  const { limits, where } = context;
  if (name === "" || name.length > XATTR_NAME_BYTES || name.includes("\0")) {
    throw refuse(where, "ERR_TAR_XATTR", "it has an xattr whose name is empty, longer than 255 bytes, or contains NUL");
  }
  if (value.length > XATTR_VALUE_BYTES) {
    throw refuse(where, "ERR_TAR_XATTR", `its xattr "${display(name)}" is larger than ${XATTR_VALUE_BYTES} bytes`);
  }
  fields.xattrBytes += name.length + value.length;
  if (fields.xattrBytes > limits.xattrBytes) {
    throw refuse(where, "ERR_TAR_LIMIT", `its xattrs are larger than ${limits.xattrBytes} bytes`);
  }
  fields.xattrs ??= new Map();
  fields.xattrs.set(name, value);
  if (fields.xattrs.size > limits.xattrCount) {
    throw refuse(where, "ERR_TAR_LIMIT", `it has more than ${limits.xattrCount} xattrs`);
  }
}

function applySparse(key: string, value: Buffer, fields: PaxFields, context: PaxContext): void {
  if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") {
    fields.sparseNumbers ??= [];
    if ((fields.sparseNumbers.length % 2 === 0) !== (key === "GNU.sparse.offset")) {
      throw refuse(context.where, "ERR_TAR_SPARSE", "its sparse map has offsets and lengths out of turn");
    }
    fields.sparseNumbers.push(parseNumber(value, key, context));
    return;
  }
  const text = key === "GNU.sparse.name" ? parsePath(value, context) : value.toString("latin1");
  if (key === "GNU.sparse.name") context.where.name = text;
  fields.sparseRecords ??= new Map();
  fields.sparseRecords.set(key, text);
}

function parsePath(value: Buffer, context: PaxContext): string {
  if (value.length > context.limits.pathBytes) {
    throw refuse(context.where, "ERR_TAR_LIMIT", `its path is longer than ${context.limits.pathBytes} bytes`);
  }
  const path = value.toString("latin1");
  if (path.includes("\0")) throw refuse(context.where, "ERR_TAR_NAME", "its path contains a NUL byte");
  return path;
}

function parseNumber(value: Buffer, key: string, context: PaxContext): number {
  return parseDecimal(value.toString("latin1"), key, context.where);
}

/** A decimal number of a record. @throws {IntegrityError} `ERR_TAR_NUMBER` if it is not one, or beyond 2^53 - 1 */
export function parseDecimal(text: string, key: string, where: TarPosition): number {
  const number = /^[0-9]{1,64}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number)) {
    throw refuse(where, "ERR_TAR_NUMBER", `its PAX record "${key}" is not a number in range`);
  }
  return number;
}

/** Digits beyond nanoseconds are cut off; the sign counts for the fraction too, so "-1.5" is 1.5 s before 1970. */
function parseTime(value: Buffer, context: PaxContext): bigint {
  const match = value.length > 64 ? null : /^(-?)([0-9]{1,20})(?:\.([0-9]*))?$/.exec(value.toString("latin1"));
  if (match === null) throw refuse(context.where, "ERR_TAR_NUMBER", 'its PAX record "mtime" is not a time');
  const [, sign, seconds = "", fraction = ""] = match;
  const negative = sign === "-";
  const whole = secondsToNs(negative ? -BigInt(seconds) : BigInt(seconds), context.where);
  if (fraction === "") return whole;
  const part = BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return negative ? whole - part : whole + part;
}
