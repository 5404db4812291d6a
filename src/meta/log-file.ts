/**
 * SQLite's write-ahead log as a file (sqlite.org/walformat.html). A frame counts only with the salt of the log's header and a
 * checksum over all before it, so that zeros after the last one are the log's end, like the end of the file.
 */

import { closeSync, fdatasyncSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { isErrno } from "../errors.ts";

/** As many as a server's log gets blocks for: 16 MiB. */
export const LOG_PAGES = 4096;
/** A page of SQLite's usual size, with the frame's header. */
const FRAME_BYTES = 4096 + 24;
const CHUNK = Buffer.alloc(256 * 1024);

/**
 * Gives the log blocks to be written over: zeros after its end. A disk that has no room for them is no error. Whoever calls has
 * the database's write lock.
 * @throws a system error
 */
export function layOutLog(path: string): void {
  const fd = openSync(path, "r+"); // SQLite has no locks on this file that closing it would lose
  const { size } = fstatSync(fd);
  try {
    const end = LOG_PAGES * FRAME_BYTES;
    for (let at = size; at < end; ) at += writeSync(fd, CHUNK, 0, Math.min(CHUNK.length, end - at), at);
    fdatasyncSync(fd);
  } catch (error) {
    if (!isErrno(error, "ENOSPC", "EDQUOT")) throw error;
    ftruncateSync(fd, size);
  } finally {
    closeSync(fd);
  }
}
