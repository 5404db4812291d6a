/**
 * A database on a file system that cannot be written. SQLite reads one in WAL mode only where it can make files beside
 * it, so a copy is opened elsewhere, with what the write-ahead log has. Nobody changes the original meanwhile.
 */

import { accessSync, constants, copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type Sqlite from "better-sqlite3";
import { isErrno } from "../errors.ts";

/** True if nothing can be written beside `file`, by nobody. */
export function isOnReadOnlyFileSystem(file: string): boolean {
  try {
    accessSync(dirname(file), constants.W_OK);
    return false;
  } catch (error) {
    if (isErrno(error, "EROFS")) return true;
    if (isErrno(error, "EACCES", "ENOENT")) return false;
    throw error;
  }
}

/** A connection that reads what `file` has, and refuses to write. Its files are gone when it is closed, or killed. */
export function openReadOnlyCopy(Connection: typeof Sqlite, file: string): Sqlite.Database {
  const directory = mkdtempSync(join(tmpdir(), "layerctl-db-"));
  try {
    const copy = join(directory, "layerctl.db");
    copyFileSync(file, copy);
    if (existsSync(`${file}-wal`)) copyFileSync(`${file}-wal`, `${copy}-wal`);
    const connection = new Connection(copy);
    connection.exec("SELECT 1 FROM sqlite_schema; PRAGMA query_only = ON"); // opens the log: the names are not needed then
    return connection;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
