/**
 * What nothing reaches. The roots are all images and all snapshots, other engines' too; an image reaches its blobs and its
 * layers, a snapshot the layers below it, a layer its parents.
 */

import { type ChainId, type Digest, parseChainId, parseDigest } from "../digest.ts";
import type { BlobRow } from "./blobs.ts";
import type { Database } from "./database.ts";
import { getLayer, type LayerRow } from "./layers.ts";

/** Layers that no image and no snapshot reaches, by chainID. */
export function listUnreachableLayers(db: Database): readonly LayerRow[] {
  const sql = `WITH RECURSIVE reached (chain_id) AS (
      SELECT chain_id FROM image_layers
      UNION SELECT parent FROM snapshots WHERE parent IS NOT NULL
      UNION SELECT chain_id FROM held_snapshots WHERE chain_id IS NOT NULL
      UNION SELECT layers.parent FROM reached JOIN layers USING (chain_id) WHERE layers.parent IS NOT NULL
    )
    SELECT chain_id FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM reached) ORDER BY chain_id`;
  const rows = db.all(sql) as { chain_id: string }[];
  return rows.map((row) => getLayer(db, parseChainId(row.chain_id))).filter((layer) => layer !== null);
}

/** True if an image or snapshot, one of another engine too, needs this very layer. Those above it may need it too. */
export function isLayerNeeded(db: Database, chainId: ChainId): boolean {
  const sql = `SELECT 1 WHERE EXISTS (SELECT 1 FROM image_layers WHERE chain_id = ?)
    OR EXISTS (SELECT 1 FROM snapshots WHERE parent = ?) OR EXISTS (SELECT 1 FROM held_snapshots WHERE chain_id = ?)`;
  return db.get(sql, chainId, chainId, chainId) !== null;
}

/** Blobs that no image reaches, by digest. */
export function listUnreachableBlobs(db: Database): readonly BlobRow[] {
  const sql = `SELECT digest, size_bytes FROM blobs WHERE digest NOT IN (
      SELECT digest FROM images UNION SELECT config_digest FROM images UNION SELECT digest FROM image_layers
    ) ORDER BY digest`;
  const rows = db.all(sql) as { digest: string; size_bytes: number }[];
  return rows.map((row) => ({ digest: parseDigest(row.digest), sizeBytes: row.size_bytes }));
}

/** The images that have this blob as manifest, config or layer, by digest. */
export function listImagesWithBlob(db: Database, digest: Digest): readonly Digest[] {
  const sql = `SELECT digest FROM images WHERE digest = ? OR config_digest = ?
    UNION SELECT image FROM image_layers WHERE digest = ? ORDER BY 1`;
  return (db.all(sql, digest, digest, digest) as { digest: string }[]).map((row) => parseDigest(row.digest));
}

/** The blobs that a layer can be unpacked from: several where images have it compressed in different ways. */
export function listLayerBlobs(db: Database, chainId: ChainId): readonly Digest[] {
  const rows = db.all("SELECT DISTINCT digest FROM image_layers WHERE chain_id = ? ORDER BY digest", chainId);
  return (rows as { digest: string }[]).map((row) => parseDigest(row.digest));
}
