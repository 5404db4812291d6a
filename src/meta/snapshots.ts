/** Table snapshots. A row means: the directory `snapshots/ID` is there and durable. Names are unique among all kinds. */

import { type ChainId, type Digest, parseChainId, parseDigest } from "../digest.ts";
import type { Database } from "./database.ts";

/** containerd's vocabulary: a view is read-only, an active snapshot takes changes, a committed one is a parent. */
type SnapshotKind = "view" | "active" | "committed";

export interface SnapshotRow {
  readonly id: number;
  readonly name: string;
  readonly kind: SnapshotKind;
  /** The stack below; null for an empty one. */
  readonly parent: ChainId | null;
  /** The image it was made from; null if it was made from layers. */
  readonly image: Digest | null;
  /** What the user called the image. */
  readonly reference: string | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly labels: Readonly<Record<string, string>>;
  /** The overlay options of its last mount, as the user gave them; before that, those to mount it with. */
  readonly options: string;
}

interface Columns {
  readonly id: number;
  readonly name: string;
  readonly kind: string;
  readonly parent: string | null;
  readonly image: string | null;
  readonly reference: string | null;
  readonly created_at_ms: number;
  readonly updated_at_ms: number;
  readonly labels: string;
  readonly options: string;
}

/** Records a snapshot under an id never used before. @throws if the name is taken or the image is not there */
export function insertSnapshot(db: Database, snapshot: Omit<SnapshotRow, "id">): SnapshotRow {
  const { name, kind, parent, image, reference, createdAtMs, updatedAtMs, labels, options } = snapshot;
  const sql = `INSERT INTO snapshots
    (name, kind, parent, image, reference, created_at_ms, updated_at_ms, labels, options)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
  const text = JSON.stringify(labels);
  const { id } = db.run(sql, name, kind, parent, image, reference, createdAtMs, updatedAtMs, text, options);
  return { id, ...snapshot };
}

/** The snapshot called `name`, or null. */
export function getSnapshotRow(db: Database, name: string): SnapshotRow | null {
  return snapshotOrNull(db.get("SELECT * FROM snapshots WHERE name = ?", name));
}

export function getSnapshotById(db: Database, id: number): SnapshotRow | null {
  return snapshotOrNull(db.get("SELECT * FROM snapshots WHERE id = ?", id));
}

/** Every snapshot, oldest first. */
export function listSnapshotRows(db: Database): readonly SnapshotRow[] {
  return (db.all("SELECT * FROM snapshots ORDER BY id") as Columns[]).map(snapshotOf);
}

/** The names of the snapshots made from an image, by name. */
export function listSnapshotsOf(db: Database, image: Digest): readonly string[] {
  const rows = db.all("SELECT name FROM snapshots WHERE image = ? ORDER BY name", image) as { name: string }[];
  return rows.map((row) => row.name);
}

/** Remembers the overlay options that a snapshot is mounted with. */
export function setSnapshotOptions(db: Database, id: number, options: string): void {
  db.run("UPDATE snapshots SET options = ? WHERE id = ?", options, id);
}

/** Gives a snapshot another name. @throws if another has it */
export function setSnapshotName(db: Database, id: number, name: string): void {
  db.run("UPDATE snapshots SET name = ? WHERE id = ?", name, id);
}

/** Forgets a snapshot; its directory may be deleted once the transaction is durable. @throws if it has a mount row */
export function deleteSnapshot(db: Database, id: number): void {
  db.run("DELETE FROM snapshots WHERE id = ?", id);
}

function snapshotOrNull(row: unknown): SnapshotRow | null {
  return row === null ? null : snapshotOf(row as Columns);
}

function snapshotOf(row: Columns): SnapshotRow {
  return {
    id: row.id,
    name: row.name,
    kind: row.kind as SnapshotKind, // held by the table's CHECK
    parent: row.parent === null ? null : parseChainId(row.parent),
    image: row.image === null ? null : parseDigest(row.image),
    reference: row.reference,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
    labels: JSON.parse(row.labels) as Record<string, string>,
    options: row.options,
  };
}
