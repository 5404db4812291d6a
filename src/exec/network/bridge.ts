/**
 * The bridge that containers are connected to: a link of the host with the first address of a block, which is the containers'
 * gateway; each container has one end of a pair, and the other is a port of the bridge. Names and the group of all these
 * links follow from the bridge's, so that what a crash leaves is found again.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { isErrno, isSystemError, UnsupportedError } from "../../errors.ts";
import {
  addAddress,
  addBridge,
  addDefaultRoute,
  addLinkPair,
  raiseLink,
  removeLink,
  removeLinks,
} from "../../sys/links.ts";
import { inNetworkNamespace } from "../../sys/namespaces.ts";
import { macOf } from "./ipv4.ts";
import type { Bridge } from "./rules.ts";

const PREFIX = "layerctl-";
const SUFFIX_DIGITS = 6;
/** The link of a container, as it sees it. */
const INSIDE = "eth0";

/** The name for `digest`, hexadecimal: as long as a name of a link may be. */
export function bridgeName(digest: string): string {
  return `${PREFIX}${digest.slice(0, SUFFIX_DIGITS)}`;
}

function suffixOf({ name }: Bridge): string {
  return name.slice(PREFIX.length);
}

/** Of the host's end of a container's pair. */
function portName(bridge: Bridge, container: number): string {
  return `lc${suffixOf(bridge)}-${container.toString(36)}`;
}

/** High, so that it is none of the few that people use. */
function groupOf(bridge: Bridge): number {
  return 0x4c00_0000 + Number.parseInt(suffixOf(bridge), 16);
}

export function gatewayOf({ block }: Bridge): number {
  return block.first + 1;
}

/**
 * Makes the bridge, or what is missing of it: who made it may have been killed on the way.
 * @throws {UnsupportedError} `ERR_NETWORK_PRIVILEGE`, `ERR_NO_BRIDGE` if the kernel has none
 * @throws PosixError
 */
export function makeBridge(bridge: Bridge): void {
  const gateway = gatewayOf(bridge);
  try {
    unlessThere(() => addBridge(bridge.name, groupOf(bridge), macOf(gateway)));
    refuseRouters(bridge.name);
    unlessThere(() => addAddress(bridge.name, gateway, bridge.block));
    raiseLink(bridge.name);
  } catch (error) {
    throw translate(error);
  }
}

function unlessThere(make: () => void): void {
  try {
    make();
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/** The bridge speaks IPv4 only: over IPv6 a container could tell the host its routes (CVE-2020-13401). */
function refuseRouters(name: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1");
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error; // a kernel without IPv6
  }
}

const FORWARDING = "/proc/sys/net/ipv4/ip_forward";

/**
 * Lets the host pass packets on between its links; false if it did already.
 * @throws {UnsupportedError} `ERR_NO_FORWARDING` if that cannot be set
 */
export function enableForwarding(): boolean {
  if (readFileSync(FORWARDING, "latin1").trim() !== "0") return false;
  try {
    writeFileSync(FORWARDING, "1");
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    const message = `Cannot use --network bridge: ${FORWARDING} is 0, and setting it fails with ${error.code}; set it, or use another network`;
    throw new UnsupportedError("ERR_NO_FORWARDING", message, { cause: error });
  }
}

/** Removes the bridge and the ports of all its containers. @throws PosixError */
export function removeBridge(bridge: Bridge): void {
  removeLinks(groupOf(bridge));
}

/** What a container has on the bridge. */
export interface Connection {
  /** A number that no other container of the bridge has. */
  readonly container: number;
  readonly address: number;
  readonly mac: Uint8Array;
}

/**
 * Connects the network namespace that is open as `namespaceFd`; its loopback comes up too.
 * @throws {UnsupportedError} `ERR_NETWORK_PRIVILEGE`, `ERR_NO_BRIDGE`
 * @throws PosixError
 */
export function connectContainer(bridge: Bridge, { container, address, mac }: Connection, namespaceFd: number): void {
  try {
    const far = { name: INSIDE, mac, namespaceFd };
    addLinkPair({ name: portName(bridge, container), bridge: bridge.name, group: groupOf(bridge), far });
  } catch (error) {
    throw translate(error);
  }
  inNetworkNamespace(namespaceFd, () => {
    raiseLink("lo");
    addAddress(INSIDE, address, bridge.block);
    raiseLink(INSIDE);
    addDefaultRoute(gatewayOf(bridge));
  });
}

/** Takes a container off the bridge, if it is on it. @throws PosixError */
export function disconnectContainer(bridge: Bridge, container: number): void {
  removeLink(portName(bridge, container));
}

function translate(error: unknown): unknown {
  if (isErrno(error, "EPERM", "EACCES", "EROFS")) {
    const message = `Cannot use --network bridge: the host's network is root's (${error.code}); use none, host or container:NAME`;
    return new UnsupportedError("ERR_NETWORK_PRIVILEGE", message, { cause: error });
  }
  if (isErrno(error, "EOPNOTSUPP", "ENOTSUP")) {
    const message =
      'Cannot use --network bridge: the kernel makes no bridge or no veth; "modprobe bridge veth" loads them';
    return new UnsupportedError("ERR_NO_BRIDGE", message, { cause: error });
  }
  return error;
}
