/**
 * The nftables rules of a bridge, in a table of its own: addresses of containers are hidden behind the host's, published
 * ports lead to containers, and nothing else from outside does. The table is written anew as a whole, in one transaction of
 * the kernel, from what is recorded; so it is right whatever was there.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { isIPv4 } from "node:net";
import { isErrno, UnsupportedError } from "../../errors.ts";
import type { AddressBlock } from "../../sys/links.ts";
import { formatAddress, formatBlock } from "./ipv4.ts";
import type { PublishedPort } from "./ports.ts";

export interface Bridge {
  /** Of the link and of the table. */
  readonly name: string;
  readonly block: AddressBlock;
}

/** A published port, and whose it is. */
export interface PortRule extends PublishedPort {
  readonly address: number;
}

/** @throws {UnsupportedError} `ERR_NO_NFTABLES` without nft(8), `ERR_NFTABLES` if the kernel refuses */
export async function applyRules(bridge: Bridge, ports: readonly PortRule[]): Promise<void> {
  await runNft(rulesText(bridge, ports));
}

/** No table is fine, and no nft(8), which has made none. @throws {UnsupportedError} `ERR_NFTABLES` */
export async function removeRules({ name }: Bridge): Promise<void> {
  try {
    await runNft(removal(name));
  } catch (error) {
    if (error instanceof UnsupportedError && error.code === "ERR_NO_NFTABLES") return;
    throw error;
  }
}

/** Deleting takes a table that is there. */
function removal(table: string): string {
  return `add table ip ${table}\ndelete table ip ${table}\n`;
}

/**
 * What comes from the bridge goes to a published port through the host's own socket (publish.ts): led on in the kernel, the
 * answer would not come back the way it went.
 */
function rulesText({ name, block }: Bridge, ports: readonly PortRule[]): string {
  const inside = `"${name}"`;
  return `${removal(name)}table ip ${name} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${formatBlock(block)} oifname != ${inside} masquerade
  }
  chain published {
${ports.filter(isReachable).map(portLine).join("")}  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname != ${inside} fib daddr type local jump published
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname != ${inside} accept
    iifname ${inside} accept
    ct state established,related accept
    ct status dnat accept
    drop
  }
}
`;
}

/** Whether packets that come to the host can be for this port: those for 127.0.0.1 never left it. */
function isReachable({ hostAddress }: PublishedPort): boolean {
  return isIPv4(hostAddress) && !hostAddress.startsWith("127.");
}

function portLine({ protocol, hostAddress, hostPort, address, port }: PortRule): string {
  const where = hostAddress === "0.0.0.0" ? "" : `ip daddr ${hostAddress} `;
  return `    ${where}${protocol} dport ${hostPort} dnat to ${formatAddress(address)}:${port}\n`;
}

async function runNft(text: string): Promise<void> {
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  const nft = spawn("nft", ["-f", "-"], { stdio: ["pipe", "ignore", "pipe"], env, cwd: "/" });
  const words: string[] = [];
  nft.stderr.on("data", (bytes: Buffer) => words.push(bytes.toString()));
  nft.stdin.on("error", () => {}); // its end says more
  nft.stdin.end(text);
  try {
    const [code] = (await once(nft, "close")) as [number | null];
    if (code === 0) return;
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    const message = 'Cannot use --network bridge: nft(8) is not installed; install "nftables", or use another network';
    throw new UnsupportedError("ERR_NO_NFTABLES", message);
  }
  const said =
    words
      .join("")
      .split("\n", 1)[0]
      ?.replace(/^.*?Error: /, "") ?? "";
  throw new UnsupportedError("ERR_NFTABLES", `Cannot set the rules of the bridge: nft(8) says "${said}"`);
}
