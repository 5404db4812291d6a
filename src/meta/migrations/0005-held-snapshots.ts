/**
 * Snapshots that other engines keep here. Their layers have a chainID that the engine tells and no diffID before an image
 * names it, so that column may be empty now.
 */
export const heldSnapshots = `
CREATE TABLE layers_5 (
  chain_id       TEXT PRIMARY KEY,
  parent         TEXT,
  diff_id        TEXT,
  directory      TEXT NOT NULL,
  size_bytes     INTEGER NOT NULL,
  inodes         INTEGER NOT NULL,
  self_contained INTEGER NOT NULL CHECK (self_contained IN (0, 1)),
  created_at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO layers_5 SELECT * FROM layers;
DROP TABLE layers;
ALTER TABLE layers_5 RENAME TO layers;
CREATE INDEX layers_by_diff_id ON layers (diff_id);
CREATE INDEX layers_by_parent ON layers (parent);
CREATE INDEX layers_by_directory ON layers (directory);

CREATE TABLE held_snapshots (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  holder        TEXT NOT NULL,
  name          TEXT NOT NULL,
  kind          TEXT NOT NULL CHECK (kind IN ('view', 'active', 'committed')),
  parent        INTEGER REFERENCES held_snapshots (id),
  chain_id      TEXT,
  labels        TEXT NOT NULL,
  size_bytes    INTEGER,
  inodes        INTEGER,
  created_at_us INTEGER NOT NULL,
  updated_at_us INTEGER NOT NULL,
  UNIQUE (holder, name)
) STRICT;
CREATE INDEX held_snapshots_by_parent ON held_snapshots (parent);
CREATE INDEX held_snapshots_by_chain ON held_snapshots (chain_id);
`;
