/** Table addresses. A row means: this container has, or is about to have, this address on the network; nobody else has it. */

import type { Database } from "./database.ts";

export interface AddressRow {
  /** Id of the container's snapshot. */
  readonly container: number;
  /** Id of the network. */
  readonly network: number;
  /** Such as "172.29.0.2". */
  readonly address: string;
  /** Such as "02:42:ac:1d:00:02". */
  readonly mac: string;
}

/** The address of a container, or null. */
export function getAddress(db: Database, container: number): AddressRow | null {
  return db.get("SELECT * FROM addresses WHERE container = ?", container) as AddressRow | null;
}

/** Every address on a network, by container. */
export function listAddresses(db: Database, network: number): readonly AddressRow[] {
  return db.all("SELECT * FROM addresses WHERE network = ? ORDER BY container", network) as AddressRow[];
}

/** Records an address. @throws if the container has one, or another has this one */
export function insertAddress(db: Database, { container, network, address, mac }: AddressRow): void {
  const sql = "INSERT INTO addresses (container, network, address, mac) VALUES (?, ?, ?, ?)";
  db.run(sql, container, network, address, mac);
}

/** Forgets the address of a container, and its ports. */
export function deleteAddress(db: Database, container: number): void {
  db.run("DELETE FROM addresses WHERE container = ?", container);
}
