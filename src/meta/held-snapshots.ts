/**
 * Table held_snapshots: the snapshots of another engine (containerd), which holds them until it removes them. A row means:
 * what is in `held/ID` is the engine's, and the layers below stay. Names are unique within a holder.
 */

import { type ChainId, parseChainId } from "../digest.ts";
import type { Database } from "./database.ts";

type HeldKind = "view" | "active" | "committed";

export type Labels = Readonly<Record<string, string>>;

export interface HeldSnapshotRow {
  readonly id: number;
  /** Who holds it. */
  readonly holder: string;
  readonly name: string;
  readonly kind: HeldKind;
  /** Id and name of the committed snapshot below; null for an empty one. */
  readonly parent: { readonly id: number; readonly name: string } | null;
  /** Of a committed one whose content the holder says is this layer. */
  readonly chainId: ChainId | null;
  readonly labels: Labels;
  /** Of a committed one, once it has been measured. */
  readonly usage: { readonly sizeBytes: number; readonly inodes: number } | null;
  /** Microseconds since the epoch. */
  readonly createdAtUs: number;
  readonly updatedAtUs: number;
}

interface Columns {
  readonly id: number;
  readonly holder: string;
  readonly name: string;
  readonly kind: string;
  readonly parent: number | null;
  readonly parent_name: string | null;
  readonly chain_id: string | null;
  readonly labels: string;
  readonly size_bytes: number | null;
  readonly inodes: number | null;
  readonly created_at_us: number;
  readonly updated_at_us: number;
}

const SELECT = `SELECT held.*, below.name AS parent_name FROM held_snapshots AS held
  LEFT JOIN held_snapshots AS below ON below.id = held.parent`;

/** Records a snapshot under an id never used before. @throws if the name is taken */
export function insertHeldSnapshot(db: Database, snapshot: Omit<HeldSnapshotRow, "id">): HeldSnapshotRow {
  const { holder, name, kind, parent, chainId, labels, usage, createdAtUs, updatedAtUs } = snapshot;
  const sql = `INSERT INTO held_snapshots
    (holder, name, kind, parent, chain_id, labels, size_bytes, inodes, created_at_us, updated_at_us)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
  const [size, inodes] = [usage?.sizeBytes ?? null, usage?.inodes ?? null];
  const text = JSON.stringify(labels);
  const below = parent?.id ?? null;
  const { id } = db.run(sql, holder, name, kind, below, chainId, text, size, inodes, createdAtUs, updatedAtUs);
  return { id, ...snapshot };
}

export function getHeldSnapshot(db: Database, holder: string, name: string): HeldSnapshotRow | null {
  return rowOrNull(db.get(`${SELECT} WHERE held.holder = ? AND held.name = ?`, holder, name));
}

/** True if `held/ID` is somebody's. */
export function isHeld(db: Database, id: number): boolean {
  return db.get("SELECT 1 FROM held_snapshots WHERE id = ?", id) !== null;
}

/** Everybody's, oldest first. */
export function listHeldSnapshots(db: Database): readonly HeldSnapshotRow[] {
  return (db.all(`${SELECT} ORDER BY held.id`) as Columns[]).map(rowOf);
}

/** The next `limit` snapshots of a holder after the one with id `after` (0: from the first), oldest first. */
export function listHeldPage(db: Database, holder: string, after: number, limit: number): readonly HeldSnapshotRow[] {
  const sql = `${SELECT} WHERE held.holder = ? AND held.id > ? ORDER BY held.id LIMIT ?`;
  return (db.all(sql, holder, after, limit) as Columns[]).map(rowOf);
}

/** As `listHeldPage`, those directly on top of the snapshot `parent`. */
export function listHeldChildren(
  db: Database,
  parent: number,
  after: number,
  limit: number,
): readonly HeldSnapshotRow[] {
  const sql = `${SELECT} WHERE held.parent = ? AND held.id > ? ORDER BY held.id LIMIT ?`;
  return (db.all(sql, parent, after, limit) as Columns[]).map(rowOf);
}

/** The ids of a snapshot and of all below it, top first. */
export function listHeldStack(db: Database, top: number): readonly number[] {
  const sql = `WITH RECURSIVE stack (id, parent, depth) AS (
      SELECT id, parent, 0 FROM held_snapshots WHERE id = ?
      UNION ALL SELECT below.id, below.parent, depth + 1
        FROM stack JOIN held_snapshots AS below ON below.id = stack.parent
    )
    SELECT id FROM stack ORDER BY depth`;
  return (db.all(sql, top) as { id: number }[]).map((row) => row.id);
}

/** A holder's committed snapshots that are the layer `chainId`. */
export function listHeldLayers(db: Database, holder: string, chainId: ChainId): readonly HeldSnapshotRow[] {
  const sql = `${SELECT} WHERE held.chain_id = ? AND held.holder = ? ORDER BY held.id`;
  return (db.all(sql, chainId, holder) as Columns[]).map(rowOf);
}

/** All of a holder's committed snapshots that are layers, oldest first. */
export function listAllHeldLayers(db: Database, holder: string): readonly HeldSnapshotRow[] {
  const sql = `${SELECT} WHERE held.holder = ? AND held.chain_id IS NOT NULL ORDER BY held.id`;
  return (db.all(sql, holder) as Columns[]).map(rowOf);
}

/** True if an active snapshot or a view stands on this one, directly or not: it may be mounted. */
export function isHeldMounted(db: Database, id: number): boolean {
  const sql = `WITH RECURSIVE above (id, kind) AS (
      SELECT id, kind FROM held_snapshots WHERE parent = ?
      UNION ALL SELECT next.id, next.kind FROM above JOIN held_snapshots AS next ON next.parent = above.id
    )
    SELECT 1 FROM above WHERE kind <> 'committed' LIMIT 1`;
  return db.get(sql, id) !== null;
}

/** Who holds a layer, each once. */
export function listHoldersOf(db: Database, chainId: ChainId): readonly string[] {
  const rows = db.all("SELECT DISTINCT holder FROM held_snapshots WHERE chain_id = ? ORDER BY holder", chainId);
  return (rows as { holder: string }[]).map((row) => row.holder);
}

/** The id of the newest of all that are there; 0 if there are none. */
export function lastHeldId(db: Database): number {
  return (db.get("SELECT coalesce(max(id), 0) AS last FROM held_snapshots") as { last: number }).last;
}

export function hasHeldChildren(db: Database, id: number): boolean {
  return db.get("SELECT 1 FROM held_snapshots WHERE parent = ? LIMIT 1", id) !== null;
}

/** How many snapshots a holder has of each kind. */
export function countHeldSnapshots(db: Database, holder: string): ReadonlyMap<string, number> {
  const rows = db.all("SELECT kind, count(*) AS count FROM held_snapshots WHERE holder = ? GROUP BY kind", holder);
  return new Map((rows as { kind: string; count: number }[]).map(({ kind, count }) => [kind, count]));
}

/** Makes an active snapshot a committed one of another name. @throws if the name is taken */
export function commitHeldSnapshot(
  db: Database,
  {
    id,
    name,
    parent,
    chainId,
    labels,
    createdAtUs,
  }: Omit<HeldSnapshotRow, "holder" | "kind" | "usage" | "updatedAtUs">,
): void {
  const sql = `UPDATE held_snapshots SET kind = 'committed', name = ?, parent = ?, chain_id = ?, labels = ?,
    created_at_us = ?, updated_at_us = ? WHERE id = ?`;
  db.run(sql, name, parent?.id ?? null, chainId, JSON.stringify(labels), createdAtUs, createdAtUs, id);
}

export function setHeldLabels(db: Database, id: number, labels: Labels, updatedAtUs: number): void {
  const sql = "UPDATE held_snapshots SET labels = ?, updated_at_us = ? WHERE id = ?";
  db.run(sql, JSON.stringify(labels), updatedAtUs, id);
}

export function setHeldUsage(db: Database, id: number, sizeBytes: number, inodes: number): void {
  db.run("UPDATE held_snapshots SET size_bytes = ?, inodes = ? WHERE id = ?", sizeBytes, inodes, id);
}

/** Forgets a snapshot; its directory may be deleted once the transaction is durable. @throws if it has children */
export function deleteHeldSnapshot(db: Database, id: number): void {
  db.run("DELETE FROM held_snapshots WHERE id = ?", id);
}

function rowOrNull(row: unknown): HeldSnapshotRow | null {
  return row === null ? null : rowOf(row as Columns);
}

function rowOf(row: Columns): HeldSnapshotRow {
  const { parent, parent_name: parentName, size_bytes: sizeBytes, inodes } = row;
  return {
    id: row.id,
    holder: row.holder,
    name: row.name,
    kind: row.kind as HeldKind, // held by the table's CHECK
    parent: parent === null || parentName === null ? null : { id: parent, name: parentName },
    chainId: row.chain_id === null ? null : parseChainId(row.chain_id),
    labels: JSON.parse(row.labels) as Labels,
    usage: sizeBytes === null || inodes === null ? null : { sizeBytes, inodes },
    createdAtUs: row.created_at_us,
    updatedAtUs: row.updated_at_us,
  };
}
