/** One member of a layer tar, after every extension header has been folded in. */

import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from "../../src/sys/file.ts";

/** What a member is. A hard link names an earlier member, or a file of a lower layer. */
export type EntryType = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

/** What a file with this mode is in a tar; null for a socket, for which tar has no type. */
export function entryTypeOf(mode: number): Exclude<EntryType, "hardlink"> | null {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "symlink";
    case S_IFCHR:
      return "character";
    case S_IFBLK:
      return "block";
    case S_IFIFO:
      return "fifo";
    default:
      return null;
  }
}

/** A run of data in a sparse file; what no extent covers is a hole. */
export interface Extent {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** Names are byte strings exactly as archived: the reader checks the format, the one who applies it checks the paths. */
export interface TarEntry {
  readonly path: string;
  readonly type: EntryType;
  /** Target of a symlink or hard link; "" otherwise. */
  readonly linkTarget: string;
  /** Permission, setuid, setgid and sticky bits: 0–0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  /** The size of the file once restored, holes included; 0 for what is not a file. */
  readonly sizeBytes: number;
  /** The data extents of a sparse file, in order; null if the whole content follows. */
  readonly extents: readonly Extent[] | null;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** By name (a byte string). ACLs are here in their binary form, as `system.posix_acl_access` and `_default`. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** The map of a member without extended attributes. */
export const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** An empty file of mode 0, owner 0:0 and time 0: a whiteout, once it has its name. */
export const EMPTY_FILE: TarEntry = {
  path: "",
  type: "file",
  linkTarget: "",
  mode: 0,
  uid: 0,
  gid: 0,
  mtimeNs: 0n,
  sizeBytes: 0,
  extents: null,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: NO_XATTRS,
};
