/**
 * Network links, their addresses and routes (rtnetlink(7)), in the network namespace that the calling thread is in. IPv4
 * addresses are numbers, hardware addresses six bytes. netlink answers when a thing is done; what is removed takes the
 * kernel some 30 ms, several links at once no longer than one.
 */

import { isErrno } from "../errors.ts";
import { type Attribute, attributesOf, packAttributes, RouteSocket } from "./netlink.ts";

const RTM = { newLink: 16, delLink: 17, getLink: 18, newAddress: 20, newRoute: 24, getRoute: 26 } as const;
const NEW = 0x600; // NLM_F_CREATE | NLM_F_EXCL
const AF_INET = 2;
const IFF_UP = 1;

const IFLA = { address: 1, name: 3, master: 10, linkInfo: 18, group: 27, namespaceFd: 28 } as const;
const IFLA_INFO = { kind: 1, data: 2 } as const;
const VETH_INFO_PEER = 1;
const IFA = { address: 1, local: 2, broadcast: 4 } as const;
const RTA = { destination: 1, gateway: 5 } as const;

/** `struct ifinfomsg`, `struct ifaddrmsg`, `struct rtmsg`. */
const [LINK_BYTES, ADDRESS_BYTES, ROUTE_BYTES] = [16, 8, 12];
const [RT_TABLE_MAIN, RTPROT_BOOT, RTN_UNICAST] = [254, 3, 1];

/** A block of IPv4 addresses: its first one, and how many bits of it all of them share. */
export interface AddressBlock {
  readonly first: number;
  readonly bits: number;
}

/** A pair of links: the near one joins a bridge, the far one is put into another network namespace. */
export interface LinkPair {
  readonly name: string;
  readonly bridge: string;
  /** A number of the caller's, by which links are removed together. */
  readonly group: number;
  readonly far: { readonly name: string; readonly mac: Uint8Array; readonly namespaceFd: number };
}

/** Makes a bridge, which is not up yet. @throws PosixError `EEXIST` */
export function addBridge(name: string, group: number, mac: Uint8Array): void {
  const info: Attribute = [IFLA.linkInfo, [[IFLA_INFO.kind, "bridge"]]];
  request(RTM.newLink, NEW, linkHead(false), [[IFLA.name, name], [IFLA.address, mac], [IFLA.group, group], info], name);
}

/** Makes a pair; the near link is up. @throws PosixError `EEXIST`, `ENODEV` without the bridge */
export function addLinkPair({ name, bridge, group, far }: LinkPair): void {
  const attributes = packAttributes([
    [IFLA.name, far.name],
    [IFLA.address, far.mac],
    [IFLA.namespaceFd, far.namespaceFd],
  ]);
  const peer: Attribute = [VETH_INFO_PEER, Buffer.concat([linkHead(false), attributes])];
  const kind: Attribute = [IFLA_INFO.kind, "veth"];
  const info: Attribute = [IFLA.linkInfo, [kind, [IFLA_INFO.data, [peer]]]];
  const place: readonly Attribute[] = [
    [IFLA.name, name],
    [IFLA.master, indexOf(bridge)],
    [IFLA.group, group],
  ];
  request(RTM.newLink, NEW, linkHead(true), [...place, info], name);
}

/** Brings a link up. @throws PosixError `ENODEV` */
export function raiseLink(name: string): void {
  request(RTM.newLink, 0, linkHead(true), [[IFLA.name, name]], name);
}

/** Removes a link, and with it the other of a pair; false if there is none. @throws PosixError */
export function removeLink(name: string): boolean {
  return unlessMissing(() => request(RTM.delLink, 0, linkHead(false), [[IFLA.name, name]], name));
}

/** Removes every link of a group; false if there is none. @throws PosixError */
export function removeLinks(group: number): boolean {
  return unlessMissing(() => request(RTM.delLink, 0, linkHead(false), [[IFLA.group, group]], `group ${group}`));
}

function unlessMissing(work: () => unknown): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return false;
    throw error;
  }
}

/** Gives a link an address; the block that it is in becomes reachable through it. @throws PosixError */
export function addAddress(link: string, address: number, { bits }: AddressBlock): void {
  const head = Buffer.alloc(ADDRESS_BYTES);
  head.set([AF_INET, bits]);
  head.writeUInt32LE(indexOf(link), 4);
  const last = (address | (0xffff_ffff >>> bits)) >>> 0;
  const attributes: readonly Attribute[] = [
    [IFA.local, addressBytes(address)],
    [IFA.address, addressBytes(address)],
    [IFA.broadcast, addressBytes(last)],
  ];
  request(RTM.newAddress, NEW, head, attributes, link);
}

/** Everything that has no other route goes to `gateway`. @throws PosixError */
export function addDefaultRoute(gateway: number): void {
  const head = Buffer.alloc(ROUTE_BYTES);
  head.set([AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST]);
  request(RTM.newRoute, NEW, head, [[RTA.gateway, addressBytes(gateway)]], "default");
}

/** Where the routes of IPv4 lead, of every table; the default is a block of 0 bits. @throws PosixError */
export function routedBlocks(): readonly AddressBlock[] {
  using socket = new RouteSocket();
  const head = Buffer.alloc(ROUTE_BYTES);
  head[0] = AF_INET;
  return socket.list(RTM.getRoute, head).map((body) => ({
    first: attributesOf(body, ROUTE_BYTES).get(RTA.destination)?.readUInt32BE(0) ?? 0,
    bits: body[1] ?? 0,
  }));
}

function indexOf(name: string): number {
  const [body] = request(RTM.getLink, 0, linkHead(false), [[IFLA.name, name]], name);
  return body?.readInt32LE(4) ?? 0;
}

function request(...[type, flags, head, attributes, name]: Parameters<RouteSocket["request"]>): readonly Buffer[] {
  using socket = new RouteSocket();
  return socket.request(type, flags, head, attributes, name);
}

function linkHead(isUp: boolean): Buffer {
  const head = Buffer.alloc(LINK_BYTES);
  if (isUp) head.writeUInt32LE(IFF_UP, 8);
  if (isUp) head.writeUInt32LE(IFF_UP, 12);
  return head;
}

function addressBytes(address: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(address);
  return bytes;
}
