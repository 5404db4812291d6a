/** Table blobs. A row means: the file `blobs/sha256/HEX` is there, durable, with these bytes. */

import { type Digest, parseDigest } from "../digest.ts";
import type { Database } from "./database.ts";

export interface BlobRow {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

interface Columns {
  readonly digest: string;
  readonly size_bytes: number;
}

/** Records a blob whose file is durable. Safe to repeat. */
export function insertBlob(db: Database, blob: BlobRow): void {
  const sql = `INSERT INTO blobs (digest, size_bytes, created_at_ms) VALUES (?, ?, ?)
    ON CONFLICT (digest) DO UPDATE SET size_bytes = excluded.size_bytes`;
  db.run(sql, blob.digest, blob.sizeBytes, Date.now());
}

export function getBlob(db: Database, digest: Digest): BlobRow | null {
  const row = db.get("SELECT digest, size_bytes FROM blobs WHERE digest = ?", digest) as Columns | null;
  return row === null ? null : blobOf(row);
}

/** Every blob, by digest. */
export function listBlobs(db: Database): readonly BlobRow[] {
  return (db.all("SELECT digest, size_bytes FROM blobs ORDER BY digest") as Columns[]).map(blobOf);
}

/** Forgets a blob; its file may be deleted once the transaction is durable. */
export function deleteBlob(db: Database, digest: Digest): void {
  db.run("DELETE FROM blobs WHERE digest = ?", digest);
}

function blobOf(row: Columns): BlobRow {
  return { digest: parseDigest(row.digest), sizeBytes: row.size_bytes };
}
