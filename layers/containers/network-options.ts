/** What a user asks of a container's network, as docker spells it: parsed and refused as there, before anything is made. */

import { isIP } from "node:net";
import { UsageError } from "../../src/errors.ts";
import { parseAddress, parseMac } from "../../src/exec/network/ipv4.ts";
import { type Port, type PortWish, parseExpose, parsePublish } from "../../src/exec/network/ports.ts";

/** Texts are as they were given; what is absent was not. */
export interface NetworkTexts {
  readonly publish?: readonly string[];
  readonly publishAll?: boolean;
  readonly expose?: readonly string[];
  readonly ip?: string;
  readonly macAddress?: string;
  readonly aliases?: readonly string[];
  readonly addHost?: readonly string[];
  readonly dns?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly dnsOptions?: readonly string[];
}

export type NetworkMode =
  | { readonly kind: "none" | "host" | "bridge" }
  | { readonly kind: "container"; readonly name: string }
  | { readonly kind: "namespace"; readonly path: string };

/** A line of /etc/hosts; null is the host, as the container reaches it. */
export interface HostEntry {
  readonly name: string;
  readonly address: string | null;
}

/** What was asked for, understood. */
export interface NetworkRequest {
  readonly mode: NetworkMode;
  readonly publish: readonly PortWish[];
  readonly publishAll: boolean;
  readonly expose: readonly Port[];
  readonly address: number | null;
  readonly mac: Uint8Array | null;
  readonly aliases: readonly string[];
  readonly hosts: readonly HostEntry[];
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
}

/**
 * @throws {UsageError} `ERR_NETWORK`, `ERR_NETWORK_OPTION` for what does not go together, `ERR_PORT`, and for values that
 *   are malformed
 */
export function parseNetworkOptions(network: string, texts: NetworkTexts = {}, hostname?: string): NetworkRequest {
  const mode = parseNetwork(network);
  refuseTogether(network, mode, texts, hostname);
  const { ip, macAddress, aliases = [], dnsSearch = [] } = texts;
  const wrong = [...aliases, ...dnsSearch.filter((domain) => domain !== ".")].find((name) => !isName(name));
  if (wrong !== undefined)
    throw bad(`name "${wrong}"`, "it has other characters than letters, digits, '.', '-' and '_'");
  return {
    mode,
    publish: (texts.publish ?? []).flatMap(parsePublish),
    publishAll: texts.publishAll ?? false,
    expose: (texts.expose ?? []).flatMap(parseExpose),
    address: ip === undefined ? null : (parseAddress(ip) ?? refuse(`address "${ip}"`, "it is none of IPv4")),
    mac:
      macAddress === undefined
        ? null
        : (parseMac(macAddress) ?? refuse(`hardware address "${macAddress}"`, 'it is not such as "02:42:ac:1d:00:02"')),
    aliases,
    hosts: (texts.addHost ?? []).map((text) => parseHostEntry(text, mode)),
    dns: (texts.dns ?? []).map((text) =>
      isIP(text) !== 0 ? text : refuse(`name server "${text}"`, "it is no address"),
    ),
    dnsSearch,
    dnsOptions: (texts.dnsOptions ?? []).map((text) =>
      /^[\w:.-]+$/.test(text) ? text : refuse(`DNS option "${text}"`, "it is none of resolv.conf(5)"),
    ),
  };
}

function parseNetwork(text: string): NetworkMode {
  if (text === "none" || text === "host" || text === "bridge") return { kind: text };
  const colon = text.indexOf(":");
  const [kind, rest] = [text.slice(0, Math.max(colon, 0)), text.slice(colon + 1)];
  if (kind === "container" && rest !== "") return { kind, name: rest };
  if (kind === "ns" && rest.startsWith("/")) return { kind: "namespace", path: rest };
  const state = "it is none of none, host, bridge, container:NAME and ns:/PATH";
  throw new UsageError("ERR_NETWORK", `Cannot use network "${text}": ${state}`, { data: { network: text } });
}

/** As docker does (moby, runconfig): what another network has already is not to be given once more. */
function refuseTogether(network: string, { kind }: NetworkMode, texts: NetworkTexts, hostname?: string): void {
  const given = (list: readonly string[] | undefined): boolean => list !== undefined && list.length > 0;
  const onBridge = [
    ["--ip", texts.ip !== undefined],
    ["--mac-address", texts.macAddress !== undefined],
    ["--network-alias", given(texts.aliases)],
  ] as const;
  const ofOwn = [
    ["--hostname", hostname !== undefined],
    ["--publish", given(texts.publish)],
    ["--publish-all", texts.publishAll === true],
    ["--expose", given(texts.expose)],
    ["--add-host", given(texts.addHost)],
    ["--dns", given(texts.dns) || given(texts.dnsSearch) || given(texts.dnsOptions)],
  ] as const;
  const refused = [...(kind === "bridge" ? [] : onBridge), ...(kind === "container" ? ofOwn : [])];
  const [option] = refused.find(([, isGiven]) => isGiven) ?? [];
  if (option === undefined) return;
  const message = `Cannot use ${option} with --network ${network}: leave one of them away`;
  throw new UsageError("ERR_NETWORK_OPTION", message, { data: { option, network } });
}

/** NAME:ADDRESS or NAME=ADDRESS, the address also in brackets; "host-gateway" is where the host is reached. */
function parseHostEntry(text: string, { kind }: NetworkMode): HostEntry {
  const [, name = "", address = ""] = /^([^:=]+)[:=](.+)$/.exec(text) ?? [];
  const plain = address.replace(/^\[(.*)\]$/, "$1");
  if (isName(name) && plain === "host-gateway") {
    if (kind === "bridge" || kind === "host") return { name, address: null };
    return refuse(`host "${text}"`, "only --network bridge and host have a way to the host");
  }
  if (isName(name) && isIP(plain) !== 0) return { name, address: plain };
  return refuse(`host "${text}"`, "it is not NAME:ADDRESS");
}

function isName(text: string): boolean {
  return /^[\w.-]{1,255}$/.test(text);
}

function refuse(what: string, state: string): never {
  throw bad(what, state);
}

function bad(what: string, state: string): UsageError {
  return new UsageError("ERR_NETWORK_OPTION", `Cannot use ${what}: ${state}`);
}
