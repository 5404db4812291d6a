/** Ports as docker spells them: `-p [IP:][HOST:]CONTAINER[/PROTOCOL]`, `--expose PORT[/PROTOCOL]`, ranges. */

import { isIP } from "node:net";
import { UsageError } from "../../errors.ts";

export type Protocol = "tcp" | "udp";

/** A port inside a container. */
export interface Port {
  readonly protocol: Protocol;
  readonly port: number;
}

/** A port of a container that is to be reached at one of the host. */
export interface PortWish extends Port {
  /** "" for every address of the host. */
  readonly hostAddress: string;
  /** The first free one of them; null: any. */
  readonly hostPorts: Range | null;
}

/** First and last. */
type Range = readonly [number, number];

/** A port of a container, and where it is reached on the host. */
export interface PublishedPort extends Port {
  /** "0.0.0.0" for every one. */
  readonly hostAddress: string;
  readonly hostPort: number;
}

const LARGEST_PORT = 65_535;

/**
 * What `-p TEXT` asks for: one wish a port of the container.
 * @throws {UsageError} `ERR_PORT`
 */
export function parsePublish(text: string): readonly PortWish[] {
  const [body = "", protocolText = "", ...beyond] = text.split("/");
  const [, bracketed, rest = ""] = /^(?:\[([^\]]*)\]:)?(.*)$/.exec(body) ?? [];
  const [containerText = "", hostText = "", plain = "", ...more] = rest.split(":").reverse();
  const [hostAddress, container] = [bracketed ?? plain, rangeOf(containerText)];
  if (container === null || beyond.length + more.length > 0 || (bracketed !== undefined && plain !== "")) {
    throw bad(text, 'it is not [[IP:]HOST:]CONTAINER[/udp], such as "8080:80"');
  }
  if (hostAddress !== "" && isIP(hostAddress) === 0) throw bad(text, `"${hostAddress}" is not an address`);
  const host = rangeOf(hostText);
  const isAny = hostText === "" || hostText === "0";
  if (host === null && !isAny) throw bad(text, `"${hostText}" is not a port`);
  const protocol = protocolOf(text, protocolText);
  const ports = portsOf(container);
  if (host === null || ports.length === 1) {
    return ports.map((port) => ({ protocol, port, hostAddress, hostPorts: host }));
  }
  const hostPorts = portsOf(host);
  if (hostPorts.length !== ports.length) throw bad(text, "the two ranges have not as many ports");
  return ports.map((port, at) => {
    const hostPort = hostPorts[at] ?? 0;
    return { protocol, port, hostAddress, hostPorts: [hostPort, hostPort] };
  });
}

/**
 * The ports that `--expose TEXT`, or a line of an image's ExposedPorts, names.
 * @throws {UsageError} `ERR_PORT`
 */
export function parseExpose(text: string): readonly Port[] {
  const [, range = "", protocolText = ""] = /^([^/]*)(?:\/(.*))?$/.exec(text) ?? [];
  const ports = rangeOf(range);
  if (ports === null) throw bad(text, "it is not PORT[/udp] or FIRST-LAST[/udp]");
  const protocol = protocolOf(text, protocolText);
  return portsOf(ports).map((port) => ({ protocol, port }));
}

function rangeOf(text: string): Range | null {
  const [, firstText, lastText = firstText] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [first, last] = [Number(firstText), Number(lastText)];
  return first >= 1 && first <= last && last <= LARGEST_PORT ? [first, last] : null;
}

function portsOf([first, last]: Range): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

function protocolOf(text: string, protocol: string): Protocol {
  const lower = protocol.toLowerCase();
  if (lower === "" || lower === "tcp") return "tcp";
  if (lower === "udp") return "udp";
  throw bad(text, `"${protocol}" is neither tcp nor udp`);
}

function bad(text: string, state: string): UsageError {
  return new UsageError("ERR_PORT", `Cannot use port "${text}": ${state}`, { data: { port: text } });
}

/** "80/tcp". */
export function formatPort({ port, protocol }: Port): string {
  return `${port}/${protocol}`;
}

/** "0.0.0.0:8080", "[::1]:8080". */
export function formatHostEnd({ hostAddress, hostPort }: PublishedPort): string {
  return hostAddress.includes(":") ? `[${hostAddress}]:${hostPort}` : `${hostAddress}:${hostPort}`;
}
