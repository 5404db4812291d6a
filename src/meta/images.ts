/**
 * Tables images and image_layers. A row means: manifest, config and layer blobs of the image are in the store. The rows
 * hold what mounting, gc and du need, so that these never parse JSON; the rest is in the manifest and the config.
 */

import { type ChainId, type DiffId, type Digest, parseChainId, parseDiffId, parseDigest } from "../digest.ts";
import type { Database } from "./database.ts";

export interface ImageRow {
  /** Of the manifest. */
  readonly digest: Digest;
  readonly mediaType: string;
  readonly configDigest: Digest;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
  /** null for an image without layers. */
  readonly topChain: ChainId | null;
  /** When it came into the store. */
  readonly createdAtMs: number;
}

export interface ImageLayerRow {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  /** Of the blob. */
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

interface ImageColumns {
  readonly digest: string;
  readonly media_type: string;
  readonly config_digest: string;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
  readonly top_chain: string | null;
  readonly created_at_ms: number;
}

interface LayerColumns {
  readonly chain_id: string;
  readonly diff_id: string;
  readonly digest: string;
  readonly media_type: string;
  readonly size_bytes: number;
}

/** Records an image whose blobs are in the store; `layers` base first. Safe to repeat: what is there stays. */
export function insertImage(db: Database, image: ImageRow, layers: readonly ImageLayerRow[]): void {
  const { digest, mediaType, configDigest, os, architecture, variant, topChain, createdAtMs } = image;
  const sql = `INSERT INTO images
    (digest, media_type, config_digest, os, architecture, variant, top_chain, created_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING`;
  const { changes } = db.run(sql, digest, mediaType, configDigest, os, architecture, variant, topChain, createdAtMs);
  if (changes === 0) return; // the layers follow from the digest: they are there too
  const layerSql = `INSERT INTO image_layers
    (image, position, chain_id, diff_id, digest, media_type, size_bytes) VALUES (?, ?, ?, ?, ?, ?, ?)`;
  for (const [position, layer] of layers.entries()) {
    db.run(layerSql, digest, position, layer.chainId, layer.diffId, layer.digest, layer.mediaType, layer.sizeBytes);
  }
}

export function getImage(db: Database, digest: Digest): ImageRow | null {
  const row = db.get("SELECT * FROM images WHERE digest = ?", digest) as ImageColumns | null;
  return row === null ? null : imageOf(row);
}

/** The layers of an image, base first. */
export function listImageLayers(db: Database, digest: Digest): readonly ImageLayerRow[] {
  return (db.all("SELECT * FROM image_layers WHERE image = ? ORDER BY position", digest) as LayerColumns[]).map(
    layerOf,
  );
}

/** Every image, oldest first. */
export function listImageRows(db: Database): readonly ImageRow[] {
  return (db.all("SELECT * FROM images ORDER BY created_at_ms, digest") as ImageColumns[]).map(imageOf);
}

/** The images whose manifest's or config's digest begins with these hex digits. */
export function findImages(db: Database, hexPrefix: string): readonly ImageRow[] {
  const low = `sha256:${hexPrefix}`;
  const high = `${low}g`; // sorts after every hex digit
  const sql = `SELECT * FROM images WHERE (digest >= ? AND digest < ?)
    OR (config_digest >= ? AND config_digest < ?) ORDER BY digest`;
  return (db.all(sql, low, high, low, high) as ImageColumns[]).map(imageOf);
}

/** Forgets an image and its layer list. @throws if a reference or a snapshot still names it */
export function deleteImage(db: Database, digest: Digest): void {
  db.run("DELETE FROM images WHERE digest = ?", digest);
}

/** The directories (in `layers`) of an image's layers, base first; null for a layer that is not unpacked. */
export function listImageDirectories(db: Database, digest: Digest): readonly (string | null)[] {
  const sql = `SELECT layers.directory FROM image_layers LEFT JOIN layers USING (chain_id)
    WHERE image = ? ORDER BY position`;
  return (db.all(sql, digest) as { directory: string | null }[]).map((row) => row.directory);
}

function imageOf(row: ImageColumns): ImageRow {
  return {
    digest: parseDigest(row.digest),
    mediaType: row.media_type,
    configDigest: parseDigest(row.config_digest),
    os: row.os,
    architecture: row.architecture,
    variant: row.variant,
    topChain: row.top_chain === null ? null : parseChainId(row.top_chain),
    createdAtMs: row.created_at_ms,
  };
}

function layerOf(row: LayerColumns): ImageLayerRow {
  return {
    chainId: parseChainId(row.chain_id),
    diffId: parseDiffId(row.diff_id),
    digest: parseDigest(row.digest),
    mediaType: row.media_type,
    sizeBytes: row.size_bytes,
  };
}

/** How many images have a layer. */
export function countImagesWithLayer(db: Database, chainId: ChainId): number {
  const sql = "SELECT count(DISTINCT image) AS count FROM image_layers WHERE chain_id = ?";
  return (db.get(sql, chainId) as { count: number }).count;
}
