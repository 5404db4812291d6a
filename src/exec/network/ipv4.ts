/** IPv4 addresses as numbers, blocks of them, and the hardware addresses that go with them. */

import { isIPv4 } from "node:net";
import type { AddressBlock } from "../../sys/links.ts";

/** null for what is no address. */
export function parseAddress(text: string): number | null {
  if (!isIPv4(text)) return null;
  return text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** "172.29.0.0/22". */
export function formatBlock({ first, bits }: AddressBlock): string {
  return `${formatAddress(first)}/${bits}`;
}

/** What `formatBlock` wrote. */
export function parseBlock(text: string): AddressBlock {
  const [first = "", bits] = text.split("/");
  return { first: parseAddress(first) ?? 0, bits: Number(bits) };
}

/** How many addresses a block has. */
export function sizeOf({ bits }: AddressBlock): number {
  return 2 ** (32 - bits);
}

export function contains(block: AddressBlock, address: number): boolean {
  return address >= block.first && address < block.first + sizeOf(block);
}

function overlap(a: AddressBlock, b: AddressBlock): boolean {
  return contains(a, b.first) || contains(b, a.first);
}

/** As many addresses as a bridge of Linux has ports. */
const BITS = 22;
/** The private blocks (RFC 1918), and where in them the search begins: away from what others take first. */
const PRIVATE: readonly AddressBlock[] = [
  { first: 0xac1d_0000, bits: 16 }, // 172.29.0.0
  { first: 0xac1e_0000, bits: 15 }, // 172.30.0.0
  { first: 0x0ae0_0000, bits: 11 }, // 10.224.0.0
  { first: 0xc0a8_8000, bits: 17 }, // 192.168.128.0
];
/** Routes of larger blocks are a way of having a default route (0.0.0.0/1 and 128.0.0.0/1). */
const FEWEST_BITS = 8;

/** A block of private addresses that overlaps none of `taken`; null if there is none left. */
export function freeBlock(taken: readonly AddressBlock[]): AddressBlock | null {
  const kept = taken.filter(({ bits }) => bits >= FEWEST_BITS);
  for (const pool of PRIVATE) {
    for (let first = pool.first; first < pool.first + sizeOf(pool); first += 2 ** (32 - BITS)) {
      const block = { first, bits: BITS };
      if (!kept.some((each) => overlap(each, block))) return block;
    }
  }
  return null;
}

/** The hardware address that goes with an address: of local administration, as docker has it. */
export function macOf(address: number): Buffer {
  const mac = Buffer.from([0x02, 0x42, 0, 0, 0, 0]);
  mac.writeUInt32BE(address, 2);
  return mac;
}

/** "02:42:ac:1d:00:02". */
export function formatMac(mac: Uint8Array): string {
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Six bytes, in hexadecimal with ":" or "-" between them; null for anything else, and for a group address. */
export function parseMac(text: string): Buffer | null {
  if (!/^[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}$/i.test(text)) return null;
  const mac = Buffer.from(text.replaceAll(/[:-]/g, ""), "hex");
  return ((mac[0] ?? 0) & 1) === 0 ? mac : null;
}
