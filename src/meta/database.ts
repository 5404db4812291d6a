/**
 * The store's database: one SQLite file in WAL mode, used by several processes at once.
 *
 * Durability (design.md §8): a connection runs with synchronous=NORMAL, where a power cut may take the latest commits
 * but never breaks the database. That is enough while an addition is under way: files without a row are garbage. Two
 * kinds of commit must be on disk when they return and say so ("durable", synchronous=FULL, one fsync of the WAL, which
 * also covers every commit before it): the last one of an addition that is then reported as done, and every removal,
 * because its files are deleted next and a row without files is corruption.
 */

import { closeSync, existsSync, fdatasync, fsync, openSync } from "node:fs";
import { constants } from "node:os";
import type Sqlite from "better-sqlite3";
import { IntegrityError, PosixError, UnsupportedError } from "../errors.ts";
import { bytesOf, type HostPath } from "../paths.ts";
import { LOG_PAGES, layOutLog } from "./log-file.ts";
import { migrations } from "./migrations/index.ts";
import { isOnReadOnlyFileSystem, openReadOnlyCopy } from "./read-only-copy.ts";
import { isBusy, loadSqlite, translate } from "./sqlite.ts";

/** What a column holds. Integers are below 2^53. */
export type Value = string | number | null;

/** "durable": on disk once the transaction returns. "relaxed": on disk with the next durable one, or soon. */
export type Durability = "durable" | "relaxed";

const BUSY_TIMEOUT_MS = 20_000;
/** 64 MiB. */
const LONG_LOG_PAGES = 16_384;

/** An open store database. The modules beside this one are the only callers of `get`, `all` and `run`. */
export class Database implements Disposable {
  readonly #connection: Sqlite.Database;
  readonly #statements = new Map<string, Sqlite.Statement<unknown[]>>();
  readonly #path: string;
  /** Its file system cannot be written: every change is refused. */
  readonly isReadOnly: boolean;
  #isDurable = false;
  /** The write-ahead log, once it was flushed: it is the same file for as long as a connection is open. */
  #log: number | null = null;

  constructor(connection: Sqlite.Database, path: string, isReadOnly = false) {
    this.#connection = connection;
    this.#path = path;
    this.isReadOnly = isReadOnly;
  }

  /** The first row, or null. */
  get(sql: string, ...values: readonly Value[]): unknown {
    return this.#try(() => this.#prepare(sql).get(...values)) ?? null;
  }

  /** Every row. */
  all(sql: string, ...values: readonly Value[]): readonly unknown[] {
    return this.#try(() => this.#prepare(sql).all(...values));
  }

  /** Runs a change; tells how many rows it changed and the id of the last one inserted. */
  run(sql: string, ...values: readonly Value[]): { changes: number; id: number } {
    const result = this.#try(() => this.#prepare(sql).run(...values));
    return { changes: result.changes, id: Number(result.lastInsertRowid) };
  }

  /**
   * Runs `work` in a transaction of its own, which takes the write lock first; a throw undoes everything. Inside
   * another transaction it is a part of that one, whose durability holds. `work` must not await.
   * @throws {ConflictError} `ERR_STORE_BUSY` if another process keeps the lock for 20 seconds
   */
  transaction<Result>(durability: Durability, work: () => Result): Result {
    if (this.#connection.inTransaction) return work();
    this.#setDurable(durability === "durable");
    this.#try(() => this.#prepare("BEGIN IMMEDIATE").run());
    try {
      const result = work();
      this.#try(() => this.#prepare("COMMIT").run());
      return result;
    } catch (error) {
      if (this.#connection.inTransaction) this.#prepare("ROLLBACK").run();
      throw error;
    }
  }

  /**
   * Fulfilled when every commit up to now is on disk: one fdatasync of the write-ahead log, on the thread pool, so that who
   * serves many makes a group of commits durable at once and answers others meanwhile. What a checkpoint took out of the log it
   * has synced itself. With "journal" it is an fsync, by which the file system's journal has what was made before, as ext4 and xfs
   * have it.
   * @throws a system error
   */
  async flush(what: "data" | "journal"): Promise<void> {
    this.#log ??= openSync(this.#logPath, "r"); // SQLite has no locks on this file that closing it would lose
    const log = this.#log;
    await new Promise<void>((resolve, reject) => {
      (what === "data" ? fdatasync : fsync)(log, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  /**
   * For who commits all the time: copying the log into the database is left to whoever calls `checkpoint`, since a commit that
   * does it takes long. And the log has its blocks from now on: then `flush` waits for the data alone, not for a commit of the
   * file system's journal, which takes another write and another flush of the disk's cache.
   */
  prepareLog(): void {
    this.#try(() => this.#connection.pragma("wal_autocheckpoint = 0"));
    this.transaction("relaxed", () => layOutLog(this.#logPath)); // under the lock nobody adds to it
  }

  /**
   * Copies the log into the database, which others use meanwhile. If nothing was written meanwhile, the next commit writes over
   * the log from its beginning. One that is far too long, because somebody always writes, is begun anew by force, and then
   * writers wait.
   * @returns true if the log is nearly as long as it was laid out: those who commit should wait for `restartLog`
   */
  checkpoint(): boolean {
    const [state] = this.#try(() => this.#connection.pragma("wal_checkpoint(PASSIVE)")) as readonly { log: number }[];
    const pages = state?.log ?? 0;
    if (pages > LONG_LOG_PAGES) this.#try(() => this.#connection.pragma("wal_checkpoint(RESTART)"));
    return pages > LOG_PAGES * 0.75;
  }

  /**
   * As `checkpoint`, and begins the log anew unless somebody reads or writes: SQLite syncs the file for the first commit in it,
   * so that this is better not one that anybody waits for.
   */
  restartLog(): void {
    this.checkpoint();
    this.transaction("relaxed", () => {
      const same = this.#try(() => schemaVersion(this.#connection)); // a newer layerctl may have changed it
      this.#try(() => this.#connection.pragma(`user_version = ${same}`));
    });
  }

  /** What SQLite's own check finds wrong with the file, one line each; empty if it is sound. */
  check(): readonly string[] {
    try {
      return this.#check();
    } catch (error) {
      if (error instanceof IntegrityError && error.cause instanceof Error) return [error.cause.message];
      throw error;
    }
  }

  #check(): readonly string[] {
    const rows = this.#try(() => this.#connection.pragma("quick_check")) as readonly { quick_check: string }[];
    const broken = this.#try(() => this.#connection.pragma("foreign_key_check")) as readonly { table: string }[];
    return [
      ...rows.map((row) => row.quick_check).filter((line) => line !== "ok"),
      ...broken.map((row) => `a row of table ${row.table} names one that is not there`),
    ];
  }

  [Symbol.dispose](): void {
    if (this.#log !== null) closeSync(this.#log);
    this.#log = null;
    this.#connection.close();
  }

  get #logPath(): string {
    return `${this.#path}-wal`;
  }

  #prepare(sql: string): Sqlite.Statement<unknown[]> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#connection.prepare<unknown[]>(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #setDurable(isDurable: boolean): void {
    if (this.#isDurable === isDurable) return;
    this.#try(() => this.#connection.exec(`PRAGMA synchronous = ${isDurable ? "FULL" : "NORMAL"}`));
    this.#isDurable = isDurable;
  }

  #try<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      throw translate(error, this.#path);
    }
  }
}

/**
 * Opens the database at `path`, making it (mode 0600) or bringing it up to this build's schema first. Several processes
 * may do that at once. One that is up to date costs a single read. On a read-only file system it can be read.
 * @throws {UnsupportedError} `ERR_STORE_NEWER` if a newer layerctl has changed the schema
 * @throws {IntegrityError} `ERR_STORE_CORRUPT` if the file is no SQLite database
 * @throws {ConflictError} `ERR_STORE_BUSY` if another process keeps the lock for 20 seconds
 */
export function openDatabase(path: HostPath): Database {
  const file = bytesOf(path).toString("utf8"); // a store's root comes from text
  const Connection = loadSqlite();
  let connection: Sqlite.Database | undefined;
  try {
    if (isOnReadOnlyFileSystem(file)) return readOnlyDatabase(Connection, file);
    if (!existsSync(file)) closeSync(openSync(file, "a", 0o600)); // SQLite would make it for everybody to read
    connection = new Connection(file, { timeout: BUSY_TIMEOUT_MS });
    if (schemaVersion(connection) !== migrations.length) upgrade(connection, file);
    connection.exec("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
    return new Database(connection, file);
  } catch (error) {
    connection?.close();
    throw translate(error, file);
  }
}

function readOnlyDatabase(Connection: typeof Sqlite, file: string): Database {
  const connection = openReadOnlyCopy(Connection, file);
  const version = schemaVersion(connection);
  if (version > migrations.length) throw newer(file, version);
  if (version < migrations.length) throw new PosixError(constants.errno.EROFS, "sqlite", file); // it wants an upgrade
  return new Database(connection, file, true);
}

function schemaVersion(connection: Sqlite.Database): number {
  return connection.pragma("user_version", { simple: true }) as number;
}

function upgrade(connection: Sqlite.Database, file: string): void {
  const version = schemaVersion(connection);
  if (version > migrations.length) throw newer(file, version);
  enterWalMode(connection);
  connection.exec("PRAGMA synchronous = FULL");
  for (;;) {
    connection.exec("BEGIN EXCLUSIVE");
    try {
      const next = migrations[schemaVersion(connection)]; // read again: another process may have been first
      if (next !== undefined) {
        connection.exec(next);
        connection.exec(`PRAGMA user_version = ${schemaVersion(connection) + 1}`);
      }
      connection.exec("COMMIT");
      if (next === undefined) return;
    } catch (error) {
      if (connection.inTransaction) connection.exec("ROLLBACK");
      throw error;
    }
  }
}

function newer(file: string, version: number): UnsupportedError {
  const state = `its schema is number ${version}, this layerctl knows ${migrations.length}; use the newer layerctl`;
  return new UnsupportedError("ERR_STORE_NEWER", `Cannot open the store's database "${file}": ${state}`, {
    data: { path: file, version, known: migrations.length },
  });
}

/** Entering WAL mode does not wait for other connections as other statements do: SQLite says "busy" at once. */
function enterWalMode(connection: Sqlite.Database): void {
  const deadline = Date.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    try {
      connection.exec("PRAGMA journal_mode = WAL");
      return;
    } catch (error) {
      if (!isBusy(error) || Date.now() > deadline) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
