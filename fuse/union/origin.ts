/**
 * `overlay.origin`: which lower file a copied-up one was (fs/overlayfs/copy_up.c, `struct ovl_fb`), so that its inode
 * number stays the same after the next mount, here and in the kernel. The same bytes name a file in `workdir/index`.
 */

import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { close, O_DIRECTORY, O_RDONLY, openAt } from "../../src/sys/file.ts";
import { type FileHandle, handleAt, inoIn, openHandle } from "../../src/sys/file-handle.ts";
import { fileSystemUuid } from "../../src/sys/file-system-uuid.ts";
import { statAt } from "../../src/sys/stat.ts";
import { getXattr, setXattr, type XattrTarget } from "../../src/sys/xattr.ts";
import { type Layer, shownIno } from "./layer.ts";
import type { Place, Union } from "./union.ts";

const HEADER_BYTES = 21;
const MAGIC = 0xfb;

/** The origin of a file of `layer`, as it is stored; null where the file system gives no handles. */
export function originOf(layer: Layer, { fd, path }: Place): Buffer | null {
  const handle = handleAt(fd, path);
  if (handle === null || HEADER_BYTES + handle.bytes.length > 255) return null;
  return encode(handle, uuidOf(layer));
}

/** Says on a copy what it is a copy of. Not being able to costs a constant inode number, nothing else. */
export function markOrigin(union: Union, copy: XattrTarget, origin: Buffer): void {
  setXattr(copy, overlayXattr(union.namespace, "origin"), origin);
}

/** The inode number that a file of the upperdir had before it was copied up; null if it was not, or that is not known. */
export function originIno(union: Union, target: XattrTarget): number | null {
  const stored = getXattr(target, overlayXattr(union.namespace, "origin"));
  if (stored === null || stored.length <= HEADER_BYTES || stored[1] !== MAGIC || stored[2] !== stored.length)
    return null;
  const handle = { type: stored[4] ?? 0, bytes: stored.subarray(HEADER_BYTES) };
  const layer = union.lowers.find((each) => uuidOf(each).equals(stored.subarray(5, HEADER_BYTES))) ?? union.lowers[0];
  if (layer === undefined) return null;
  const ino = inoIn(handle);
  return ino === null ? resolve(union, layer, handle) : shownIno(layer, ino);
}

function encode({ type, bytes }: FileHandle, uuid: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.set([0, MAGIC, HEADER_BYTES + bytes.length, 0, type]);
  uuid.copy(header, 5);
  return Buffer.concat([header, bytes]);
}

const uuids = new WeakMap<Layer, Buffer>();

function uuidOf(layer: Layer): Buffer {
  const known = uuids.get(layer) ?? fileSystemUuid(layer.fd) ?? Buffer.alloc(16);
  uuids.set(layer, known);
  return known;
}

/** Any other handle, through the kernel. */
function resolve(union: Union, layer: Layer, { type, bytes }: FileHandle): number | null {
  let fd: number | null;
  const mount = openAt(layer.fd, ".", O_RDONLY | O_DIRECTORY); // one opened for its path alone is not taken
  try {
    fd = openHandle(mount, type, bytes);
  } catch {
    return null; // not allowed here, or the handle is of another file system
  } finally {
    close(mount);
  }
  if (fd === null) return null;
  try {
    return union.inodeNumber(layer, statAt(fd, null));
  } finally {
    close(fd);
  }
}
