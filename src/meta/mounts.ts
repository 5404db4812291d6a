/**
 * Table mounts. A row means: this mount was made, and nothing has been told to take it away. Whether it is still there
 * only the kernel knows (`/proc/self/mountinfo`). At most one a snapshot, and one a target.
 */

import type { HostPath } from "../paths.ts";
import type { Database } from "./database.ts";

export interface MountRow {
  /** Id of the snapshot. */
  readonly snapshot: number;
  readonly target: HostPath;
  readonly backend: string;
  /** The options that the mount was made with. */
  readonly options: string;
  /** The target was made for this mount, and goes with it. */
  readonly targetMade: boolean;
  readonly createdAtMs: number;
}

interface Columns {
  readonly snapshot: number;
  readonly target: string;
  readonly backend: string;
  readonly options: string;
  readonly target_made: number;
  readonly created_at_ms: number;
}

/** Records a mount. @throws if the snapshot or the target has one already */
export function insertMount(db: Database, mount: MountRow): void {
  const { snapshot, target, backend, options, targetMade, createdAtMs } = mount;
  const sql = `INSERT INTO mounts (snapshot, target, backend, options, target_made, created_at_ms)
    VALUES (?, ?, ?, ?, ?, ?)`;
  db.run(sql, snapshot, target, backend, options, targetMade ? 1 : 0, createdAtMs);
}

/** The mount of a snapshot, or null. */
export function getMount(db: Database, snapshot: number): MountRow | null {
  return mountOrNull(db.get("SELECT * FROM mounts WHERE snapshot = ?", snapshot));
}

/** The mount at a target, or null. */
export function getMountAt(db: Database, target: HostPath): MountRow | null {
  return mountOrNull(db.get("SELECT * FROM mounts WHERE target = ?", target));
}

/** Every mount, by target. */
export function listMountRows(db: Database): readonly MountRow[] {
  return (db.all("SELECT * FROM mounts ORDER BY target") as Columns[]).map(mountOf);
}

/** Forgets the mount of a snapshot. */
export function deleteMount(db: Database, snapshot: number): void {
  db.run("DELETE FROM mounts WHERE snapshot = ?", snapshot);
}

function mountOrNull(row: unknown): MountRow | null {
  return row === null ? null : mountOf(row as Columns);
}

function mountOf(row: Columns): MountRow {
  return {
    snapshot: row.snapshot,
    target: row.target as HostPath,
    backend: row.backend,
    options: row.options,
    targetMade: row.target_made !== 0,
    createdAtMs: row.created_at_ms,
  };
}
