/** The bridge of a store, the addresses that containers have on it, and their ports on the host. */
export const networks = `
CREATE TABLE networks (
  id        INTEGER PRIMARY KEY,
  namespace INTEGER NOT NULL UNIQUE,
  bridge    TEXT NOT NULL,
  block     TEXT NOT NULL
) STRICT;

CREATE TABLE addresses (
  container INTEGER PRIMARY KEY REFERENCES containers (snapshot) ON DELETE CASCADE,
  network   INTEGER NOT NULL REFERENCES networks (id),
  address   TEXT NOT NULL,
  mac       TEXT NOT NULL,
  UNIQUE (network, address)
) STRICT;

CREATE TABLE ports (
  container    INTEGER NOT NULL REFERENCES addresses (container) ON DELETE CASCADE,
  protocol     TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')),
  port         INTEGER NOT NULL,
  host_address TEXT NOT NULL,
  host_port    INTEGER NOT NULL,
  PRIMARY KEY (container, protocol, host_address, host_port)
) STRICT, WITHOUT ROWID;
`;
