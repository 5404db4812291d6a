/** Containers: snapshots that a process runs in, or ran in. */
export const containers = `
CREATE TABLE containers (
  snapshot       INTEGER PRIMARY KEY REFERENCES snapshots (id) ON DELETE CASCADE,
  state          TEXT NOT NULL CHECK (state IN ('created', 'running', 'exited')),
  options        TEXT NOT NULL,
  auto_remove    INTEGER NOT NULL CHECK (auto_remove IN (0, 1)),
  init           INTEGER,
  cgroup         TEXT,
  exit_code      INTEGER,
  started_at_ms  INTEGER,
  finished_at_ms INTEGER
) STRICT;
`;
