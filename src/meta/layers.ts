/**
 * Table layers. A row means: the layer is unpacked in its directory, whole and durable. A layer of an image may have no row:
 * it is then unpacked from its blob when the image is first mounted. Rows of layers with the same content may share a
 * directory.
 */

import { type ChainId, type DiffId, parseChainId, parseDiffId } from "../digest.ts";
import type { Database } from "./database.ts";

export interface LayerRow {
  readonly chainId: ChainId;
  /** The chainID below; null for a base layer. */
  readonly parent: ChainId | null;
  /** null: another engine unpacked it, and no image here has named it yet. */
  readonly diffId: DiffId | null;
  /** Name of its directory in `layers`; "held/ID" for the snapshot of another engine that it was unpacked in. */
  readonly directory: string;
  /** What the unpacked files hold, hard links once. */
  readonly sizeBytes: number;
  readonly inodes: number;
  /** True if nothing of the layers below went into the unpacked tree, so that it serves under any chainID. */
  readonly selfContained: boolean;
  readonly createdAtMs: number;
}

interface Columns {
  readonly chain_id: string;
  readonly parent: string | null;
  readonly diff_id: string | null;
  readonly directory: string;
  readonly size_bytes: number;
  readonly inodes: number;
  readonly self_contained: number;
  readonly created_at_ms: number;
}

/**
 * Records a layer whose directory is durable. Safe to repeat: the row of a chainID that is there already stays, and learns
 * its diffID.
 */
export function insertLayer(db: Database, layer: LayerRow): void {
  const sql = `INSERT INTO layers
    (chain_id, parent, diff_id, directory, size_bytes, inodes, self_contained, created_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (chain_id) DO UPDATE SET diff_id = coalesce(layers.diff_id, excluded.diff_id)`;
  const { chainId, parent, diffId, directory, sizeBytes, inodes, selfContained, createdAtMs } = layer;
  db.run(sql, chainId, parent, diffId, directory, sizeBytes, inodes, selfContained ? 1 : 0, createdAtMs);
}

export function getLayer(db: Database, chainId: ChainId): LayerRow | null {
  return layerOrNull(db.get("SELECT * FROM layers WHERE chain_id = ?", chainId));
}

/** True if a layer stands on this one. */
export function hasLayerAbove(db: Database, chainId: ChainId): boolean {
  return db.get("SELECT 1 FROM layers WHERE parent = ? LIMIT 1", chainId) !== null;
}

/** A layer with this content that serves under any chainID, or null. */
export function findSelfContained(db: Database, diffId: DiffId): LayerRow | null {
  return layerOrNull(db.get("SELECT * FROM layers WHERE diff_id = ? AND self_contained = 1 LIMIT 1", diffId));
}

/** Every layer, by chainID. */
export function listLayers(db: Database): readonly LayerRow[] {
  return (db.all("SELECT * FROM layers ORDER BY chain_id") as Columns[]).map(layerOf);
}

export function countLayers(db: Database): number {
  return (db.get("SELECT count(*) AS count FROM layers") as { count: number }).count;
}

/** Forgets a layer; its directory may be deleted once the transaction is durable, if `isDirectoryUsed` says no. */
export function deleteLayer(db: Database, chainId: ChainId): void {
  db.run("DELETE FROM layers WHERE chain_id = ?", chainId);
}

/** True if a layer lies in the directory of this name. */
export function isDirectoryUsed(db: Database, directory: string): boolean {
  return db.get("SELECT 1 FROM layers WHERE directory = ? LIMIT 1", directory) !== null;
}

function layerOrNull(row: unknown): LayerRow | null {
  return row === null ? null : layerOf(row as Columns);
}

function layerOf(row: Columns): LayerRow {
  return {
    chainId: parseChainId(row.chain_id),
    parent: row.parent === null ? null : parseChainId(row.parent),
    diffId: row.diff_id === null ? null : parseDiffId(row.diff_id),
    directory: row.directory,
    sizeBytes: row.size_bytes,
    inodes: row.inodes,
    selfContained: row.self_contained === 1,
    createdAtMs: row.created_at_ms,
  };
}
