/**
 * Space and inodes that a store keeps for when its disk is full: SQLite cannot open a database there, let alone delete a
 * row. Files in `reserve` hold them; who opens the store on a full disk, or removes something, gives them up first, and
 * they are made again when it closes the store. That is best effort: a reserve that is not there only makes a full disk
 * harder to clear.
 */

import { closeSync, constants, mkdirSync, openSync, statSync, unlinkSync } from "node:fs";
import { isErrno, isSystemError } from "../src/errors.ts";
import { bytesOf, type HostPath, joinHost } from "../src/paths.ts";
import { allocate } from "../src/sys/file.ts";
import type { StoreLayout } from "./layout.ts";

/** Inodes: for the write-ahead log, its index, a lock and a temporary, twice. */
const FILES = 8;
/** Together 1 MiB: the index takes 32 KiB, a changed page of the database 4. */
const FILE_BYTES = 128 * 1024;

/** Makes the reserve, as far as there is room. One that is there is left alone. */
export function makeReserve(layout: StoreLayout): void {
  const paths = filesOf(layout);
  if (paths.every(isWhole)) return;
  try {
    mkdirSync(bytesOf(layout.reserve), { recursive: true, mode: 0o700 });
    for (const path of paths) allocateFile(path);
  } catch (error) {
    if (!isSystemError(error)) throw error; // no room, or a file system that cannot be written
  }
}

/** Gives it up; false if there was nothing. */
export function releaseReserve(layout: StoreLayout): boolean {
  let released = false;
  for (const path of filesOf(layout)) {
    try {
      unlinkSync(bytesOf(path));
      released = true;
    } catch (error) {
      if (!isErrno(error, "ENOENT", "EROFS")) throw error;
    }
  }
  return released;
}

function filesOf({ reserve }: StoreLayout): readonly HostPath[] {
  return Array.from({ length: FILES }, (_, number) => joinHost(reserve, String(number)));
}

function isWhole(path: HostPath): boolean {
  return statSync(bytesOf(path), { throwIfNoEntry: false })?.size === FILE_BYTES;
}

function allocateFile(path: HostPath): void {
  const fd = openSync(bytesOf(path), constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    allocate(fd, FILE_BYTES);
  } finally {
    closeSync(fd);
  }
}
