/**
 * The only door to better-sqlite3, loaded when the first database is opened and never at import. Its failures leave
 * here as the errors of `src/errors.ts`.
 */

import { constants as accessModes, accessSync, closeSync, openSync, statfsSync } from "node:fs";
import { constants } from "node:os";
import { dirname } from "node:path";
import type Sqlite from "better-sqlite3";
import { ConflictError, IntegrityError, isSystemError, PosixError } from "../errors.ts";
import { sqlitePackage } from "./sqlite-package.ts";

let sqlite: typeof Sqlite | undefined;

/** The constructor of connections. */
export function loadSqlite(): typeof Sqlite {
  sqlite ??= sqlitePackage();
  return sqlite;
}

/** SQLITE_BUSY in any form: another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return codeOf(error)?.startsWith("SQLITE_BUSY") === true;
}

/** The error to throw for one that SQLite threw about the database at `path`; others come back as they are. */
export function translate(error: unknown, path: string): unknown {
  const code = codeOf(error);
  if (code === null) return error;
  const options = { data: { path, sqlite: code }, cause: error };
  if (code.startsWith("SQLITE_BUSY")) {
    const state = "another process has held its lock for too long; try again";
    return new ConflictError("ERR_STORE_BUSY", `Cannot use the store's database "${path}": ${state}`, options);
  }
  if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB") return corrupt(path, "it is corrupt", options);
  if (code === "SQLITE_FULL") return new PosixError(constants.errno.ENOSPC, "write", path);
  if (code.startsWith("SQLITE_READONLY")) return refusalOf(path, constants.errno.EROFS);
  if (code.startsWith("SQLITE_CANTOPEN")) {
    return isFull(path)
      ? new PosixError(constants.errno.ENOSPC, "open", path)
      : refusalOf(path, constants.errno.EACCES);
  }
  if (code.startsWith("SQLITE_IOERR")) {
    return new PosixError(isFull(path) ? constants.errno.ENOSPC : constants.errno.EIO, "access", path);
  }
  return error;
}

/** Why the file cannot be written, in the host's own words, which SQLite keeps for itself; `otherwise` if it can. */
function refusalOf(path: string, otherwise: number): Error {
  try {
    closeSync(openSync(path, "r+"));
    accessSync(dirname(path), accessModes.W_OK | accessModes.X_OK); // for the write-ahead log
  } catch (error) {
    if (isSystemError(error)) return error;
    throw error;
  }
  return new PosixError(otherwise, "open", path);
}

/** What the index of a write-ahead log takes, and its first pages. */
const LEAST_FREE_BYTES = 64 * 1024;

/** SQLite says "I/O error" where there is no room for the index of its log, and "cannot open" where there is no inode. */
function isFull(path: string): boolean {
  try {
    const { bavail, bsize, files, ffree } = statfsSync(dirname(path));
    return bavail * bsize < LEAST_FREE_BYTES || (files > 0 && ffree === 0);
  } catch {
    return false; // it answers an error: that one is told
  }
}

/** What a damaged database is answered with, wherever it shows. */
function corrupt(path: string, state: string, options: { cause?: unknown } = {}): IntegrityError {
  return new IntegrityError(
    "ERR_STORE_CORRUPT",
    `Cannot use the store's database "${path}": ${state}; keep a copy of the store, then import its images into a new one`,
    { data: { path }, ...options },
  );
}

function codeOf(error: unknown): string | null {
  const isSqlite = error instanceof Error && error.name === "SqliteError" && "code" in error;
  return isSqlite ? String(error.code) : null;
}
