/**
 * Table containers. A row means: its snapshot is a container's. "running" is a memory: whoever runs the container holds its
 * lock, and where nobody does it has ended, whatever the row says.
 */

import type { Database } from "./database.ts";

/** "created": nothing has been started in it yet, or that failed. */
export type ContainerState = "created" | "running" | "exited";

export interface ContainerRow {
  /** Id of the snapshot, which has the container's name. */
  readonly snapshot: number;
  readonly state: ContainerState;
  /** What was asked for, as JSON: the container is started again with it. */
  readonly options: string;
  /** It goes when it has ended. */
  readonly autoRemove: boolean;
  /** Its first process while it runs, as the host numbers it. */
  readonly init: number | null;
  /** The name of its cgroup, while it has one. */
  readonly cgroup: string | null;
  readonly exitCode: number | null;
  /** Something in it was killed because its memory was used up, when it last ran. */
  readonly oomKilled: boolean;
  /** When something was last started in it; null if nothing ever was. */
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
}

interface Columns {
  readonly snapshot: number;
  readonly state: string;
  readonly options: string;
  readonly auto_remove: number;
  readonly init: number | null;
  readonly cgroup: string | null;
  readonly exit_code: number | null;
  readonly oom_killed: number;
  readonly started_at_ms: number | null;
  readonly finished_at_ms: number | null;
}

/** Records a container in which nothing runs. @throws if the snapshot is one already */
export function insertContainer(db: Database, snapshot: number, options: string, autoRemove: boolean): void {
  const sql = "INSERT INTO containers (snapshot, state, options, auto_remove) VALUES (?, 'created', ?, ?)";
  db.run(sql, snapshot, options, autoRemove ? 1 : 0);
}

/** The container of a snapshot, or null. */
export function getContainer(db: Database, snapshot: number): ContainerRow | null {
  const row = db.get("SELECT * FROM containers WHERE snapshot = ?", snapshot);
  return row === null ? null : containerOf(row as Columns);
}

/** Every container, oldest first. */
export function listContainers(db: Database): readonly ContainerRow[] {
  return (db.all("SELECT * FROM containers ORDER BY snapshot") as Columns[]).map(containerOf);
}

/** Those that are recorded as running, and those that were to go when they ended and are still there. */
export function listUnfinishedContainers(db: Database): readonly ContainerRow[] {
  const sql = `SELECT * FROM containers WHERE state = 'running' OR (auto_remove = 1 AND finished_at_ms IS NOT NULL)
    ORDER BY snapshot`;
  return (db.all(sql) as Columns[]).map(containerOf);
}

/** It is about to be started: from now on something of it may be on the machine. */
export function setContainerStarting(db: Database, snapshot: number, cgroup: string | null): void {
  const sql = `UPDATE containers SET state = 'running', cgroup = ?, init = NULL, exit_code = NULL,
    oom_killed = 0, finished_at_ms = NULL WHERE snapshot = ?`;
  db.run(sql, cgroup, snapshot);
}

/** Its command runs. */
export function setContainerRunning(db: Database, snapshot: number, init: number, startedAtMs: number): void {
  const sql = "UPDATE containers SET init = ?, started_at_ms = ? WHERE snapshot = ?";
  db.run(sql, init, startedAtMs, snapshot);
}

/** Its memory was used up. */
export function setContainerOutOfMemory(db: Database, snapshot: number): void {
  db.run("UPDATE containers SET oom_killed = 1 WHERE snapshot = ?", snapshot);
}

/** It has ended, and nothing of it is on the machine. `exitCode` is null if nobody saw it. */
export function setContainerExited(
  db: Database,
  snapshot: number,
  exitCode: number | null,
  finishedAtMs: number,
): void {
  const sql = `UPDATE containers SET state = CASE WHEN started_at_ms IS NULL THEN 'created' ELSE 'exited' END,
    cgroup = NULL, init = NULL, exit_code = ?, finished_at_ms = ? WHERE snapshot = ?`;
  db.run(sql, exitCode, finishedAtMs, snapshot);
}

function containerOf(row: Columns): ContainerRow {
  return {
    snapshot: row.snapshot,
    state: row.state as ContainerState, // held by the table's CHECK
    options: row.options,
    autoRemove: row.auto_remove !== 0,
    init: row.init,
    cgroup: row.cgroup,
    exitCode: row.exit_code,
    oomKilled: row.oom_killed !== 0,
    startedAtMs: row.started_at_ms,
    finishedAtMs: row.finished_at_ms,
  };
}
