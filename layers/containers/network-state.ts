/** What a container has of networks while it runs, for lists and documents. */

import { NotFoundError } from "../../src/errors.ts";
import { gatewayOf } from "../../src/exec/network/bridge.ts";
import { formatAddress } from "../../src/exec/network/ipv4.ts";
import { formatPort, type Port, type PublishedPort, parseExpose } from "../../src/exec/network/ports.ts";
import { getAddress } from "../../src/meta/addresses.ts";
import { getContainer } from "../../src/meta/containers.ts";
import { getNetwork } from "../../src/meta/networks.ts";
import { listPorts } from "../../src/meta/ports.ts";
import type { Store } from "../store.ts";
import { bridgeOf } from "./addresses.ts";
import { findContainer } from "./held.ts";
import type { ContainerOptions } from "./options.ts";

/** `bridge` is null without a place on the bridge: with another network, and while it does not run. */
export interface NetworkState {
  /** As it was asked for. */
  readonly mode: string;
  readonly bridge: {
    readonly name: string;
    readonly address: string;
    /** How many bits of it are the bridge's. */
    readonly prefixLength: number;
    readonly gateway: string;
    readonly macAddress: string;
  } | null;
  readonly aliases: readonly string[];
  readonly ports: readonly PublishedPort[];
}

/** Of the container `id`, which has a row. */
export function networkState(store: Store, id: number): NetworkState {
  const options = JSON.parse(getContainer(store.db, id)?.options ?? "{}") as Partial<ContainerOptions>;
  const row = getAddress(store.db, id);
  const network = row === null ? null : getNetwork(store.db, row.network);
  const place = network === null ? null : bridgeOf(network);
  return {
    mode: options.network ?? "none",
    bridge:
      row === null || place === null
        ? null
        : {
            name: place.name,
            address: row.address,
            prefixLength: place.block.bits,
            gateway: formatAddress(gatewayOf(place)),
            macAddress: row.mac,
          },
    aliases: options.networking?.aliases ?? [],
    ports: publishedPorts(store, id),
  };
}

/** In the order of the container's ports. */
function publishedPorts(store: Store, id: number): readonly PublishedPort[] {
  return listPorts(store.db, id).map(({ container: _, ...port }) => port);
}

/**
 * Where ports of a container are reached on this host; all of them, or with "PORT[/PROTOCOL]" one.
 * @throws {NotFoundError} `ERR_PORT_NOT_PUBLISHED`
 * @throws as `findContainer` and `parseExpose`
 */
export function findPorts(store: Store, name: string, wanted?: string): readonly PublishedPort[] {
  const all = publishedPorts(store, findContainer(store, name).id);
  if (wanted === undefined) return all;
  const [port] = parseExpose(wanted) as readonly [Port];
  const found = all.filter((each) => each.port === port.port && each.protocol === port.protocol);
  if (found.length > 0) return found;
  const message = `Cannot tell where port ${formatPort(port)} of container "${name}" is: it is not published`;
  throw new NotFoundError("ERR_PORT_NOT_PUBLISHED", message, { data: { name, port: formatPort(port) } });
}
