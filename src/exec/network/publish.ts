/**
 * The host's end of published ports: sockets of the process that runs the container. They keep a port from being used twice,
 * as long as that process lives, and pass on what the rules of nftables do not: what comes from this host itself, over
 * IPv6, or from another container. What comes from outside over IPv4 is led on in the kernel and never gets here.
 */

import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { ConflictError, isErrno } from "../../errors.ts";
import { formatHostEnd, formatPort, type PortWish, type Protocol, type PublishedPort } from "./ports.ts";

/** As docker has it. */
const UDP_IDLE_MS = 90_000;

/** Opens a port of the host, "" being every address and 0 any port, and passes on to `port` of a container. */
type Open = (hostAddress: string, hostPort: number, to: { host: string; port: number }) => Promise<Opened>;
interface Opened extends Disposable {
  readonly hostPort: number;
}

const OPEN: Readonly<Record<Protocol, Open>> = { tcp: openTcp, udp: openUdp };

/** Ports that are open until it is disposed. */
export interface OpenPorts extends Disposable {
  readonly published: readonly PublishedPort[];
}

/**
 * Opens what is wished for, in order, and passes it on to the container that has `address`.
 * @throws {ConflictError} `ERR_PORT_IN_USE`, `ERR_PORT_ADDRESS` for an address that this host has not
 */
export async function openPorts(wishes: readonly PortWish[], address: string): Promise<OpenPorts> {
  using opened = new DisposableStack();
  const published: PublishedPort[] = [];
  for (const wish of wishes) {
    const port = opened.use(await openFirst(wish, { host: address, port: wish.port }));
    const { protocol, hostAddress } = wish;
    published.push({ protocol, port: wish.port, hostAddress: hostAddress || "0.0.0.0", hostPort: port.hostPort });
  }
  const kept = opened.move();
  return { published, [Symbol.dispose]: () => kept.dispose() };
}

async function openFirst(wish: PortWish, to: { host: string; port: number }): Promise<Opened> {
  const [first, last] = wish.hostPorts ?? [0, 0];
  for (let hostPort = first; ; hostPort++) {
    try {
      return await OPEN[wish.protocol](wish.hostAddress, hostPort, to);
    } catch (error) {
      if (!isErrno(error, "EADDRINUSE", "EADDRNOTAVAIL")) throw error;
      if (error.code === "EADDRINUSE" && hostPort < last) continue;
      throw refusal(error.code, wish);
    }
  }
}

function refusal(code: string, { hostAddress, hostPorts, protocol, port }: PortWish): ConflictError {
  const [first, last] = hostPorts ?? [0, 0];
  const end = formatHostEnd({ protocol, port, hostAddress: hostAddress || "0.0.0.0", hostPort: first });
  const where = `${end}${last > first ? `-${last}` : ""}/${protocol}`;
  const message = `Cannot publish port ${formatPort({ protocol, port })} at ${where}`;
  const data = { hostAddress, hostPort: first, protocol };
  if (code === "EADDRINUSE") {
    const state = "it is in use on this host; end what has it, or choose another port";
    return new ConflictError("ERR_PORT_IN_USE", `${message}: ${state}`, { data });
  }
  return new ConflictError("ERR_PORT_ADDRESS", `${message}: this host has no such address`, { data });
}

function openTcp(hostAddress: string, hostPort: number, to: { host: string; port: number }): Promise<Opened> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const container = connect({ ...to, allowHalfOpen: true, noDelay: true });
    for (const [from, into] of [
      [client, container],
      [container, client],
    ] as const) {
      sockets.add(from);
      from.pipe(into);
      from.on("error", () => into.destroy());
      from.on("close", () => {
        sockets.delete(from);
        if (!from.readableEnded) into.destroy();
      });
    }
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port: hostPort, ...(hostAddress !== "" && { host: hostAddress }), exclusive: true }, () => {
      server.unref(); // the container's end is the end
      const address = server.address();
      resolve({
        hostPort: typeof address === "object" && address !== null ? address.port : hostPort,
        [Symbol.dispose]() {
          server.close();
          for (const socket of sockets) socket.destroy();
        },
      });
    });
  });
}

/** Every address: IPv6 with IPv4 in it, or IPv4 alone where the host has no other. */
async function openUdp(hostAddress: string, hostPort: number, to: { host: string; port: number }): Promise<Opened> {
  if (hostAddress !== "") return await bindUdp(hostAddress.includes(":") ? "udp6" : "udp4", hostAddress, hostPort, to);
  try {
    return await bindUdp("udp6", "::", hostPort, to);
  } catch (error) {
    if (!isErrno(error, "EAFNOSUPPORT", "EADDRNOTAVAIL")) throw error;
    return await bindUdp("udp4", "0.0.0.0", hostPort, to);
  }
}

function bindUdp(
  type: "udp4" | "udp6",
  hostAddress: string,
  hostPort: number,
  to: { host: string; port: number },
): Promise<Opened> {
  const server = createSocket(type);
  const sessions = new Map<string, UdpSession>();
  server.on("message", (bytes, client) => {
    const key = `${client.address} ${client.port}`;
    const session = sessions.get(key) ?? new UdpSession(server, client, to, () => sessions.delete(key));
    sessions.set(key, session);
    session.send(bytes);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.bind({ port: hostPort, address: hostAddress, exclusive: true }, () => {
      server.on("error", () => {}); // what cannot be sent is lost, as is usual
      server.unref();
      resolve({
        hostPort: server.address().port,
        [Symbol.dispose]() {
          for (const session of sessions.values()) session.end();
          server.close();
        },
      });
    });
  });
}

/** What one client sends, and what comes back, until nothing has passed for a while. */
class UdpSession {
  readonly #socket: UdpSocket = createSocket("udp4");
  readonly #timer: NodeJS.Timeout;
  readonly #to: { readonly host: string; readonly port: number };
  readonly #onEnd: () => void;

  constructor(server: UdpSocket, client: RemoteInfo, to: { host: string; port: number }, onEnd: () => void) {
    this.#to = to;
    this.#onEnd = onEnd;
    this.#timer = setTimeout(() => this.end(), UDP_IDLE_MS).unref();
    this.#socket.on("message", (bytes, { address }) => {
      if (address !== to.host) return;
      this.#timer.refresh();
      server.send(bytes, client.port, client.address);
    });
    this.#socket.on("error", () => {});
    this.#socket.bind(() => this.#socket.unref());
  }

  send(bytes: Buffer): void {
    this.#timer.refresh();
    this.#socket.send(bytes, this.#to.port, this.#to.host);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#onEnd();
  }
}
