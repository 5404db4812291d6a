/** What a tar may ask of us before it is refused, and how a refusal is worded. */

import { IntegrityError } from "../../src/errors.ts";
import { display } from "../../src/paths.ts";

/** Bounds on one member. They bound memory: nothing else in the reader grows with what an archive claims. */
export interface TarLimits {
  /** The most bytes in a path or link target. Default 65,536: sixteen times PATH_MAX, as trees can be deeper than that. */
  readonly pathBytes: number;
  /** The most bytes in one PAX header. Default 8 MiB: many large xattrs, or a long sparse map in format 0.1. */
  readonly paxBytes: number;
  /** The most xattrs of one member. Default 10,000: XATTR_LIST_MAX holds no more names. */
  readonly xattrCount: number;
  /** The most bytes in the names and values of a member's xattrs. Default 4 MiB. */
  readonly xattrBytes: number;
  /** The most extents in a sparse map. Default 1,000,000. */
  readonly sparseExtents: number;
  /** The most extension headers (PAX, GNU long name) before one member. Default 100. */
  readonly extensionHeaders: number;
}

/** The defaults named in `TarLimits`. */
export const DEFAULT_TAR_LIMITS: TarLimits = {
  pathBytes: 65_536,
  paxBytes: 8 * 1024 * 1024,
  xattrCount: 10_000,
  xattrBytes: 4 * 1024 * 1024,
  sparseExtents: 1_000_000,
  extensionHeaders: 100,
};

/** XATTR_NAME_MAX and XATTR_SIZE_MAX: Linux takes no longer ones, so they are not negotiable. */
export const XATTR_NAME_BYTES = 255;
export const XATTR_VALUE_BYTES = 65_536;

/** Where the reader is, for messages. The reader keeps one and moves it. */
export interface TarPosition {
  /** The member's path as far as it is known; "" before. */
  name: string;
  /** Byte of the archive at which the current header starts. */
  offset: number;
}

/** What is wrong with a tar. Codes are public API. */
export type TarErrorCode =
  | "ERR_TAR_TRUNCATED" // it ends inside a member
  | "ERR_TAR_CHECKSUM" // a header's checksum is wrong: usually this is no tar at all
  | "ERR_TAR_FORMAT" // headers in an order that no format allows
  | "ERR_TAR_NUMBER" // a numeric field is malformed or out of range
  | "ERR_TAR_NAME" // a path or link target is empty, ambiguous or contains NUL
  | "ERR_TAR_TYPE" // a kind of member that cannot be kept
  | "ERR_TAR_PAX" // a malformed PAX record
  | "ERR_TAR_XATTR" // an xattr that no file can have
  | "ERR_TAR_ACL" // a malformed access control list
  | "ERR_TAR_SPARSE" // a malformed sparse map
  | "ERR_TAR_LIMIT"; // beyond `TarLimits`

/** The error for the member at `where`; `state` completes the sentence. */
export function refuse(where: TarPosition, code: TarErrorCode, state: string): IntegrityError {
  const entry = display(where.name.length > 300 ? `${where.name.slice(0, 300)}...` : where.name);
  const what = entry === "" ? `tar header at byte ${where.offset}` : `tar entry "${entry}"`;
  return new IntegrityError(code, `Cannot read ${what}: ${state}`, { data: { entry, offset: where.offset } });
}
