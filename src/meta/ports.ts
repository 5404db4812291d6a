/** Table ports. A row means: this port of the host leads to this port of a container, as long as that has its address. */

import type { Database } from "./database.ts";

export interface PortRow {
  /** Id of the container's snapshot. */
  readonly container: number;
  readonly protocol: "tcp" | "udp";
  /** In the container. */
  readonly port: number;
  /** "0.0.0.0" for every address of the host. */
  readonly hostAddress: string;
  readonly hostPort: number;
}

interface Columns {
  readonly container: number;
  readonly protocol: string;
  readonly port: number;
  readonly host_address: string;
  readonly host_port: number;
}

/** The ports of one container, in order. */
export function listPorts(db: Database, container: number): readonly PortRow[] {
  const sql = "SELECT * FROM ports WHERE container = ? ORDER BY port, protocol, host_port, host_address";
  return (db.all(sql, container) as Columns[]).map(portOf);
}

/** Records a port. @throws if the container has it already, or has no address */
export function insertPort(db: Database, { container, protocol, port, hostAddress, hostPort }: PortRow): void {
  const sql = "INSERT INTO ports (container, protocol, port, host_address, host_port) VALUES (?, ?, ?, ?, ?)";
  db.run(sql, container, protocol, port, hostAddress, hostPort);
}

function portOf(row: Columns): PortRow {
  return {
    container: row.container,
    protocol: row.protocol as PortRow["protocol"], // held by the table's CHECK
    port: row.port,
    hostAddress: row.host_address,
    hostPort: row.host_port,
  };
}
