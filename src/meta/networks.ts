/**
 * Table networks. A row means: in this network namespace of the host the store has, or is about to have, a bridge. It is there
 * as long as a container has an address on it.
 */

import type { Database } from "./database.ts";

export interface NetworkRow {
  readonly id: number;
  /** The inode number of the host's network namespace. */
  readonly namespace: number;
  /** The name of the link. */
  readonly bridge: string;
  /** Its addresses, such as "172.29.0.0/22". */
  readonly block: string;
}

/** The network in a network namespace, or null. */
export function getNetworkIn(db: Database, namespace: number): NetworkRow | null {
  return db.get("SELECT * FROM networks WHERE namespace = ?", namespace) as NetworkRow | null;
}

/** The network with this id, or null. */
export function getNetwork(db: Database, id: number): NetworkRow | null {
  return db.get("SELECT * FROM networks WHERE id = ?", id) as NetworkRow | null;
}

/** Records a network; its id. @throws if the namespace has one */
export function insertNetwork(db: Database, { namespace, bridge, block }: Omit<NetworkRow, "id">): number {
  return db.run("INSERT INTO networks (namespace, bridge, block) VALUES (?, ?, ?)", namespace, bridge, block).id;
}

/** Forgets a network on which nobody has an address; false if somebody has. */
export function deleteUnusedNetwork(db: Database, id: number): boolean {
  const sql = "DELETE FROM networks WHERE id = ? AND id NOT IN (SELECT network FROM addresses)";
  return db.run(sql, id).changes > 0;
}
