/** Which addresses the bridge of a store has, and which one a container gets. */

import { statSync } from "node:fs";
import { isIPv4 } from "node:net";
import { digestOf, hexOf } from "../../src/digest.ts";
import { ConflictError, UnsupportedError, UsageError } from "../../src/errors.ts";
import { bridgeName } from "../../src/exec/network/bridge.ts";
import {
  contains,
  formatAddress,
  formatBlock,
  formatMac,
  freeBlock,
  macOf,
  parseAddress,
  parseBlock,
  sizeOf,
} from "../../src/exec/network/ipv4.ts";
import type { Bridge } from "../../src/exec/network/rules.ts";
import { type AddressRow, insertAddress, listAddresses } from "../../src/meta/addresses.ts";
import { getNetworkIn, insertNetwork, type NetworkRow } from "../../src/meta/networks.ts";
import { getSnapshotById } from "../../src/meta/snapshots.ts";
import { type AddressBlock, routedBlocks } from "../../src/sys/links.ts";
import type { Store } from "../store.ts";
import type { NetworkRequest } from "./network-options.ts";
import { nameServersOfHost } from "./resolver.ts";

/**
 * The network of the store in this process's network namespace, which gets a row if it has none. The caller holds the lock of
 * the host's network.
 * @throws {UnsupportedError} `ERR_NO_ADDRESS`
 */
export function currentNetwork(store: Store): NetworkRow {
  const namespace = namespaceNumber();
  const found = getNetworkIn(store.db, namespace);
  if (found !== null) return found;
  const block = freeBlock([...routedBlocks(), ...nameServersOfHost().flatMap(blockOfOne)]);
  if (block === null) {
    const message = "Cannot use --network bridge: every block of private addresses has a route on this host already";
    throw new UnsupportedError("ERR_NO_ADDRESS", message);
  }
  const row = { namespace, bridge: bridgeName(hexOf(digestOf(store.layout.root))), block: formatBlock(block) };
  return { id: insertNetwork(store.db, row), ...row };
}

function blockOfOne(address: string): readonly AddressBlock[] {
  return isIPv4(address) ? [{ first: parseAddress(address) ?? 0, bits: 32 }] : [];
}

/** What the kernel has of a network. */
export function bridgeOf({ bridge, block }: NetworkRow): Bridge {
  return { name: bridge, block: parseBlock(block) };
}

/** Of a network namespace, as long as it lives. */
export function namespaceNumber(): number {
  return statSync("/proc/self/ns/net").ino;
}

/**
 * Records the address that a container gets: the one that is asked for, or the first that is free.
 * @throws {UsageError} `ERR_ADDRESS_RANGE`
 * @throws {ConflictError} `ERR_ADDRESS_IN_USE`
 * @throws {UnsupportedError} `ERR_NO_ADDRESS`
 */
export function reserveAddress(
  store: Store,
  network: NetworkRow,
  container: number,
  request: NetworkRequest,
): AddressRow {
  const { block } = bridgeOf(network);
  const taken = new Map(listAddresses(store.db, network.id).map((row) => [row.address, row.container]));
  const address = request.address ?? firstFree(block, taken);
  const text = formatAddress(address);
  const isUsable = contains(block, address) && address > block.first + 1 && address < block.first + sizeOf(block) - 1;
  if (!isUsable) {
    const state = `the bridge's containers have those of ${network.block}`;
    throw new UsageError("ERR_ADDRESS_RANGE", `Cannot use address ${text}: ${state}`, { data: { address: text } });
  }
  const holder = taken.get(text);
  if (holder !== undefined) {
    const state = `container "${getSnapshotById(store.db, holder)?.name}" has it`;
    throw new ConflictError("ERR_ADDRESS_IN_USE", `Cannot use address ${text}: ${state}`, { data: { address: text } });
  }
  const row = { container, network: network.id, address: text, mac: formatMac(request.mac ?? macOf(address)) };
  insertAddress(store.db, row);
  return row;
}

function firstFree(block: AddressBlock, taken: ReadonlyMap<string, number>): number {
  for (let address = block.first + 2; address < block.first + sizeOf(block) - 1; address++) {
    if (!taken.has(formatAddress(address))) return address;
  }
  const message = `Cannot use --network bridge: all addresses of ${formatBlock(block)} are in use`;
  throw new UnsupportedError("ERR_NO_ADDRESS", message);
}
