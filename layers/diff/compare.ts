/**
 * Whether a file is the same before and after: type, mode, owner, size, mtime to the nanosecond, the attributes that a
 * mount shows, device numbers, link target, and last the bytes. Access and change times, inode numbers and the place on
 * the host do not count.
 */

import { closeSync, readSync } from "node:fs";
import type { HostPath } from "../../src/paths.ts";
import { dataExtents } from "../../src/sys/copy.ts";
import {
  AT_FDCWD,
  O_NOFOLLOW,
  O_RDONLY,
  openAt,
  readlinkAt,
  S_IFBLK,
  S_IFCHR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../src/sys/file.ts";
import type { Aspect, LayerNode } from "./change.ts";

export interface CompareOptions {
  /** Default true. false: stop at the first difference, so that `what` is short and fewer bytes are read. */
  readonly detail?: boolean;
}

/**
 * What differs between two files at the same path, in the order of `Aspect`: [] if nothing does. Files of different
 * type differ in "type" only.
 * @throws a system error if one cannot be read
 */
export function compareNodes(before: LayerNode, after: LayerNode, options: CompareOptions = {}): readonly Aspect[] {
  if (before.hostPath === after.hostPath && before.dataPath === after.dataPath) return [];
  const [a, b] = [before.stat, after.stat];
  const kind = b.mode & S_IFMT;
  if ((a.mode & S_IFMT) !== kind) return ["type"];
  const isFile = kind === S_IFREG;
  const isDevice = kind === S_IFCHR || kind === S_IFBLK;
  const mode = ((a.mode ^ b.mode) & 0o7777) !== 0 && kind !== S_IFLNK; // a symlink's mode means nothing
  const owner = a.uid !== b.uid || a.gid !== b.gid;
  const size = isFile && a.sizeBytes !== b.sizeBytes;
  const mtime = a.mtimeNs !== b.mtimeNs;
  const device = isDevice && (a.rdevMajor !== b.rdevMajor || a.rdevMinor !== b.rdevMinor);
  const all = options.detail !== false || !(mode || owner || size || mtime || device); // the rest costs system calls
  const xattr = all && !sameXattrs(before.xattrs, after.xattrs);
  const target = all && kind === S_IFLNK && targetOf(before) !== targetOf(after);
  const content = size || (all && isFile && !sameContent(before.dataPath, after.dataPath, b.sizeBytes));
  const found = { mode, owner, size, content, mtime, xattr, device, target };
  return (Object.keys(found) as (keyof typeof found)[]).filter((aspect) => found[aspect]);
}

function targetOf(node: LayerNode): string {
  return readlinkAt(AT_FDCWD, node.hostPath);
}

function sameXattrs(a: ReadonlyMap<string, Uint8Array>, b: ReadonlyMap<string, Uint8Array>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || Buffer.compare(value, other) !== 0) return false;
  }
  return true;
}

const PIECE_BYTES = 256 * 1024;
let buffers: readonly [Buffer, Buffer] | undefined;

/** True if two files of `sizeBytes` hold the same bytes. */
function sameContent(a: HostPath, b: HostPath, sizeBytes: number): boolean {
  if (a === b || sizeBytes === 0) return true;
  buffers ??= [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)];
  const [left, right] = buffers;
  const leftFd = openAt(AT_FDCWD, a, O_RDONLY | O_NOFOLLOW);
  try {
    const rightFd = openAt(AT_FDCWD, b, O_RDONLY | O_NOFOLLOW);
    try {
      let at = 0;
      for (const [start, end] of dataOf(leftFd, rightFd, sizeBytes)) {
        for (at = Math.max(at, start); at < end; at += PIECE_BYTES) {
          const size = readFully(leftFd, left, at);
          if (readFully(rightFd, right, at) !== size || left.compare(right, 0, size, 0, size) !== 0) return false;
        }
      }
      return true;
    } finally {
      closeSync(rightFd);
    }
  } finally {
    closeSync(leftFd);
  }
}

/** Where one of two files may have data, by the start: what is a hole in both need not be read. */
function dataOf(a: number, b: number, sizeBytes: number): readonly (readonly [start: number, end: number])[] {
  if (sizeBytes <= PIECE_BYTES) return [[0, sizeBytes]]; // read sooner than asked about
  return [...dataExtents(a, sizeBytes), ...dataExtents(b, sizeBytes)].sort(([one], [other]) => one - other);
}

/** Fills `buffer` from `position` on; less only at the end of the file. */
function readFully(fd: number, buffer: Buffer, position: number): number {
  let used = 0;
  while (used < buffer.length) {
    const got = readSync(fd, buffer, used, buffer.length - used, position + used);
    if (got === 0) break;
    used += got;
  }
  return used;
}
