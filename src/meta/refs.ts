/** Table refs: full reference ("docker.io/library/debian:latest") to image. The image is always there. */

import { type Digest, parseDigest } from "../digest.ts";
import type { Database } from "./database.ts";

export interface RefRow {
  readonly name: string;
  readonly image: Digest;
}

/** Gives `name` to an image, taking it from the one that has it. */
export function setRef(db: Database, name: string, image: Digest): void {
  const sql = `INSERT INTO refs (name, image, updated_at_ms) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET image = excluded.image, updated_at_ms = excluded.updated_at_ms`;
  db.run(sql, name, image, Date.now());
}

/** The image that `name` means, or null. */
export function getRef(db: Database, name: string): Digest | null {
  const row = db.get("SELECT image FROM refs WHERE name = ?", name) as { image: string } | null;
  return row === null ? null : parseDigest(row.image);
}

/** Every reference, by name. */
export function listRefs(db: Database): readonly RefRow[] {
  const rows = db.all("SELECT name, image FROM refs ORDER BY name") as { name: string; image: string }[];
  return rows.map(({ name, image }) => ({ name, image: parseDigest(image) }));
}

/** The references of an image, by name. */
export function listRefsOf(db: Database, image: Digest): readonly string[] {
  const rows = db.all("SELECT name FROM refs WHERE image = ? ORDER BY name", image) as { name: string }[];
  return rows.map((row) => row.name);
}

export function deleteRef(db: Database, name: string): void {
  db.run("DELETE FROM refs WHERE name = ?", name);
}
