/** What is written, and making it permanent. */

import { isErrno } from "../../src/errors.ts";
import { syncFile, writeAt } from "../../src/sys/data.ts";
import { close, O_DIRECTORY, O_RDONLY, openAt } from "../../src/sys/file.ts";
import { contentFd } from "./content.ts";
import type { Node } from "./node.ts";
import type { Union } from "./union.ts";

/** Writes at an offset; how many bytes. Fewer than there are only where the disk is full. @throws PosixError for the first */
export function writeAll(fd: number, bytes: Buffer, offset: number): number {
  let done = writeAt(fd, bytes, bytes.length, offset);
  while (done < bytes.length) {
    const more = writeMore(fd, bytes.subarray(done), offset + done);
    if (more === 0) break;
    done += more;
  }
  return done;
}

/** What was written before the disk was full counts. */
function writeMore(fd: number, rest: Buffer, offset: number): number {
  try {
    return writeAt(fd, rest, rest.length, offset);
  } catch (error) {
    if (isErrno(error, "ENOSPC", "EDQUOT", "EFBIG", "EIO")) return 0;
    throw error;
  }
}

/** fsync(2), or fdatasync(2), of a regular file. What is in a lower layer is on disk. @throws PosixError */
export function syncContent(union: Union, node: Node, dataOnly: boolean): void {
  if (union.options.volatile || !node.upper) return;
  syncFile(contentFd(union, node, false), dataOnly);
}

/** fsync(2) of a directory. @throws PosixError */
export function syncDirectory(union: Union, node: Node): void {
  if (union.options.volatile || !node.upper || node.isOrphan) return;
  const { fd, path } = union.placeOf(node);
  const directory = openAt(fd, path ?? ".", O_RDONLY | O_DIRECTORY);
  try {
    syncFile(directory);
  } finally {
    close(directory);
  }
}
