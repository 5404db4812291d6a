/**
 * The first schema. Digests are text ("sha256:…"), times milliseconds since the epoch, byte strings (paths) latin-1
 * text. What a row promises is in the module of its table.
 */
export const firstSchema = `
CREATE TABLE blobs (
  digest        TEXT PRIMARY KEY,
  size_bytes    INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE layers (
  chain_id       TEXT PRIMARY KEY,
  parent         TEXT,
  diff_id        TEXT NOT NULL,
  directory      TEXT NOT NULL,
  size_bytes     INTEGER NOT NULL,
  inodes         INTEGER NOT NULL,
  self_contained INTEGER NOT NULL CHECK (self_contained IN (0, 1)),
  created_at_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX layers_by_diff_id ON layers (diff_id);

CREATE TABLE images (
  digest        TEXT PRIMARY KEY,
  media_type    TEXT NOT NULL,
  config_digest TEXT NOT NULL,
  os            TEXT NOT NULL,
  architecture  TEXT NOT NULL,
  variant       TEXT,
  top_chain     TEXT,
  created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX images_by_config ON images (config_digest);

CREATE TABLE image_layers (
  image      TEXT NOT NULL REFERENCES images (digest) ON DELETE CASCADE,
  position   INTEGER NOT NULL,
  chain_id   TEXT NOT NULL,
  diff_id    TEXT NOT NULL,
  digest     TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  PRIMARY KEY (image, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layers_by_chain ON image_layers (chain_id);
CREATE INDEX image_layers_by_digest ON image_layers (digest);

CREATE TABLE refs (
  name          TEXT PRIMARY KEY,
  image         TEXT NOT NULL REFERENCES images (digest),
  updated_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refs_by_image ON refs (image);

CREATE TABLE snapshots (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  name          TEXT NOT NULL UNIQUE,
  kind          TEXT NOT NULL CHECK (kind IN ('view', 'active', 'committed')),
  parent        TEXT,
  image         TEXT REFERENCES images (digest),
  reference     TEXT,
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  labels        TEXT NOT NULL,
  options       TEXT NOT NULL
) STRICT;
CREATE INDEX snapshots_by_image ON snapshots (image);

CREATE TABLE mounts (
  snapshot      INTEGER PRIMARY KEY REFERENCES snapshots (id),
  target        TEXT NOT NULL UNIQUE,
  backend       TEXT NOT NULL,
  options       TEXT NOT NULL,
  target_made   INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL
) STRICT;
`;
