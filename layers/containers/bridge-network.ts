/**
 * Containers on the bridge of the store: who has which address and which port of the host, and what follows from that for the
 * kernel and for the others' /etc/hosts.
 *
 * Order: rows → links and rules, and backwards, under the lock of the host's network. So what a crash leaves has a row, and who
 * finishes that container takes it away. The bridge is there as long as a container has an address on it.
 */

import { isSystemError, LayerctlError } from "../../src/errors.ts";
import {
  connectContainer,
  disconnectContainer,
  enableForwarding,
  gatewayOf,
  makeBridge,
  removeBridge,
} from "../../src/exec/network/bridge.ts";
import { formatAddress, macOf, parseAddress, parseMac } from "../../src/exec/network/ipv4.ts";
import { type PortWish, parseExpose } from "../../src/exec/network/ports.ts";
import { openPorts } from "../../src/exec/network/publish.ts";
import { applyRules, type PortRule, removeRules } from "../../src/exec/network/rules.ts";
import { deleteAddress, getAddress, listAddresses } from "../../src/meta/addresses.ts";
import { getContainer } from "../../src/meta/containers.ts";
import { deleteUnusedNetwork, getNetwork, type NetworkRow } from "../../src/meta/networks.ts";
import { insertPort, listPorts } from "../../src/meta/ports.ts";
import { getSnapshotById } from "../../src/meta/snapshots.ts";
import { joinHost } from "../../src/paths.ts";
import { lockHostNetwork } from "../locks.ts";
import type { ProcessConfig } from "../oci/image-config.ts";
import { getSnapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { bridgeOf, currentNetwork, namespaceNumber, reserveAddress } from "./addresses.ts";
import { containerDirectory } from "./held.ts";
import { type HostLine, updateHosts } from "./hosts.ts";
import type { NetworkRequest } from "./network-options.ts";
import type { ContainerOptions } from "./options.ts";

/** A container's place on the bridge. Disposing closes its ports of the host; `leaveBridge` does the rest. */
export interface BridgePlace extends Disposable {
  readonly address: string;
  readonly gateway: string;
  /** The other containers. */
  readonly others: readonly HostLine[];
  /** Connects the container's network namespace, which is open. @throws as `connectContainer` and `applyRules` */
  connect(namespaceFd: number): Promise<void>;
}

/**
 * Gives a container an address and its ports, and makes the bridge if it is the first one there.
 * @throws {ConflictError} `ERR_ADDRESS_IN_USE`, `ERR_PORT_IN_USE`, `ERR_PORT_ADDRESS`
 * @throws {UsageError} `ERR_ADDRESS_RANGE` for an address that is none of the bridge's
 * @throws {UnsupportedError} as `makeBridge` and `enableForwarding`, `ERR_NO_ADDRESS`
 */
export async function joinBridge(
  store: Store,
  container: number,
  request: NetworkRequest,
  config: ProcessConfig,
): Promise<BridgePlace> {
  using stack = new DisposableStack();
  const lock = stack.use(await lockHostNetwork());
  const { network, row } = store.db.transaction("relaxed", () => {
    const found = currentNetwork(store);
    return { network: found, row: reserveAddress(store, found, container, request) };
  });
  const bridge = bridgeOf(network);
  const ports = stack.use(await openPorts(wishesOf(request, config), row.address));
  store.db.transaction("relaxed", () => {
    for (const port of ports.published) insertPort(store.db, { container, ...port });
  });
  makeBridge(bridge);
  if (enableForwarding()) store.logger.warn("network.forwarding-enabled", { file: "/proc/sys/net/ipv4/ip_forward" });
  const others = updateOthers(store, network, container);
  stack.move(); // from here on the lock ends with the rules, and the ports with the place
  const ready = applyRules(bridge, portRules(store, network)).finally(() => lock[Symbol.dispose]());
  ready.catch(() => {}); // whoever connects hears of it
  return {
    address: row.address,
    gateway: formatAddress(gatewayOf(bridge)),
    others,
    async connect(namespaceFd) {
      await ready;
      const [address, mac] = [parseAddress(row.address) ?? 0, parseMac(row.mac) ?? macOf(0)];
      connectContainer(bridge, { container, address, mac }, namespaceFd);
    },
    [Symbol.dispose]: () => ports[Symbol.dispose](),
  };
}

/**
 * Takes a container off the bridge, and the bridge away if nobody else is on it. What cannot be taken away is logged. One that
 * is not on it, fine.
 */
export async function leaveBridge(store: Store, container: number): Promise<void> {
  if (getAddress(store.db, container) === null) return;
  using _lock = await lockHostNetwork();
  const row = getAddress(store.db, container);
  const network = row === null ? null : getNetwork(store.db, row.network);
  if (network === null) return;
  await orWarn(store, network, async () => {
    if (network.namespace === namespaceNumber()) await removeFromKernel(store, network, container);
  });
  store.db.transaction("relaxed", () => {
    deleteAddress(store.db, container);
    deleteUnusedNetwork(store.db, network.id);
  });
  await orWarn(store, network, () => updateOthers(store, network, container));
}

/** What cannot be taken away keeps nothing else of the container. */
async function orWarn(store: Store, { bridge }: NetworkRow, work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isSystemError(error) && !(error instanceof LayerctlError)) throw error;
    store.logger.warn("network.kept", { bridge, reason: error.message });
  }
}

/** Tells the others on its bridge the name that a container has now; one that is on none, or no container, is fine. */
export async function tellNames(store: Store, name: string): Promise<void> {
  const row = getAddress(store.db, getSnapshot(store, name).id);
  const network = row === null ? null : getNetwork(store.db, row.network);
  if (row === null || network === null) return;
  using _lock = await lockHostNetwork();
  updateOthers(store, network, row.container);
}

async function removeFromKernel(store: Store, network: NetworkRow, container: number): Promise<void> {
  const bridge = bridgeOf(network);
  if (listAddresses(store.db, network.id).length === 1) {
    removeBridge(bridge);
    await removeRules(bridge);
    return;
  }
  disconnectContainer(bridge, container);
  if (listPorts(store.db, container).length > 0) await applyRules(bridge, portRules(store, network, container));
}

/** What -p asks for, and with -P what is exposed and not published yet. */
function wishesOf({ publish, publishAll, expose }: NetworkRequest, config: ProcessConfig): readonly PortWish[] {
  if (!publishAll) return publish;
  const exposed = [...Object.keys(config.ExposedPorts ?? {}).flatMap(parseExpose), ...expose];
  const wishes = [...publish];
  for (const { protocol, port } of exposed) {
    if (wishes.some((wish) => wish.protocol === protocol && wish.port === port)) continue;
    wishes.push({ protocol, port, hostAddress: "", hostPorts: null });
  }
  return wishes;
}

function portRules(store: Store, network: NetworkRow, without?: number): readonly PortRule[] {
  return listAddresses(store.db, network.id)
    .filter(({ container }) => container !== without)
    .flatMap(({ container, address }) =>
      listPorts(store.db, container).map((port) => ({ ...port, address: parseAddress(address) ?? 0 })),
    );
}

/** Writes the others' /etc/hosts anew; the result is what is in that of `container`. */
function updateOthers(store: Store, network: NetworkRow, container: number): readonly HostLine[] {
  const lines = listAddresses(store.db, network.id).flatMap((row) => {
    const names = namesOf(store, row.container);
    return names.length === 0 ? [] : [{ container: row.container, address: row.address, names }];
  });
  const besides = (each: number): readonly HostLine[] => lines.filter((line) => line.container !== each);
  for (const line of lines) {
    if (line.container === container) continue;
    updateHosts(joinHost(containerDirectory(store, line.container), "hosts"), besides(line.container));
  }
  return besides(container);
}

function namesOf(store: Store, container: number): readonly string[] {
  const [snapshot, row] = [getSnapshotById(store.db, container), getContainer(store.db, container)];
  if (snapshot === null || row === null) return [];
  const { networking } = JSON.parse(row.options) as ContainerOptions; // as `createContainer` wrote it
  return [snapshot.name, ...(networking?.aliases ?? [])];
}
