/**
 * /etc/resolv.conf of a container (resolv.conf(5)): the host's, without name servers that only the host reaches, or what the
 * user gives.
 */

import { isIPv4 } from "node:net";
import type { Logger } from "../../src/log.ts";
import type { NetworkRequest } from "./network-options.ts";
import { hostFile } from "./own-files.ts";

const RESOLV_CONF = "/etc/resolv.conf";
/** Where systemd-resolved, whose own address is one of the loopback, says whom it asks. */
const RESOLVED = "/run/systemd/resolve/resolv.conf";

/** Whom the host asks. */
export function nameServersOfHost(): readonly string[] {
  return valuesOf(hostFile(RESOLV_CONF), "nameserver");
}

/** The text of the file. That nobody can be asked is logged. */
export function resolverText(request: NetworkRequest, logger: Logger): string {
  const { mode, dns, dnsSearch, dnsOptions } = request;
  const host = hostFile(RESOLV_CONF);
  const isOwn = mode.kind === "bridge";
  if (!isOwn && dns.length + dnsSearch.length + dnsOptions.length === 0) return host;
  const servers = dns.length > 0 ? dns : isOwn ? reachable(host, logger) : valuesOf(host, "nameserver");
  const domains = dnsSearch.length > 0 ? dnsSearch.filter((domain) => domain !== ".") : valuesOf(host, "search");
  const options = dnsOptions.length > 0 ? dnsOptions : valuesOf(host, "options");
  return [
    ...servers.map((server) => `nameserver ${server}\n`),
    ...(domains.length > 0 ? [`search ${domains.join(" ")}\n`] : []),
    ...(options.length > 0 ? [`options ${options.join(" ")}\n`] : []),
  ].join("");
}

/** The host's name servers that a container on the bridge, which has IPv4 only, can ask. */
function reachable(host: string, logger: Logger): readonly string[] {
  const given = valuesOf(host, "nameserver");
  const kept = given.filter(isReachable);
  const servers = kept.length > 0 ? kept : valuesOf(hostFile(RESOLVED), "nameserver").filter(isReachable);
  if (servers.length === 0) logger.warn("network.no-name-server", { hosts: given, advice: "give one with --dns" });
  return servers;
}

function isReachable(server: string): boolean {
  return isIPv4(server) && !server.startsWith("127.");
}

/** All words behind a keyword; of "search" those of the last line, which is the one that counts. */
function valuesOf(text: string, keyword: string): readonly string[] {
  const lines = text.split("\n").flatMap((line) => {
    const [first, ...words] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    return first === keyword ? [words] : [];
  });
  return keyword === "search" ? (lines.at(-1) ?? []) : lines.flat();
}
