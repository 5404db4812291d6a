/** The network of a container that is about to be started: its namespace, its names, and its files that follow from them. */

import { mkdirSync } from "node:fs";
import { hostname as hostnameOfHost } from "node:os";
import { ConflictError } from "../../src/errors.ts";
import type { Namespace } from "../../src/exec/runtime-spec.ts";
import { getContainer } from "../../src/meta/containers.ts";
import type { IdMappings } from "../../src/mount/id-mapping.ts";
import { bytesOf, type HostPath } from "../../src/paths.ts";
import { close } from "../../src/sys/file.ts";
import { makeNetworkNamespace } from "../../src/sys/namespaces.ts";
import type { ProcessConfig } from "../oci/image-config.ts";
import type { Store } from "../store.ts";
import { type BridgePlace, joinBridge } from "./bridge-network.ts";
import { containerDirectory, findContainer, isHeld } from "./held.ts";
import { type HostLine, hostsText, linesText } from "./hosts.ts";
import { namespaceMode } from "./namespace-options.ts";
import { type NetworkMode, type NetworkRequest, parseNetworkOptions } from "./network-options.ts";
import type { ContainerOptions } from "./options.ts";
import { hostFile, writeOwnFiles } from "./own-files.ts";
import { resolverText } from "./resolver.ts";

/** Disposing closes the ports of the host; `leaveBridge` does the rest. */
export interface ContainerNetwork extends Disposable {
  readonly hostname: string;
  /** The directory with the container's /etc/hosts, /etc/hostname and /etc/resolv.conf. */
  readonly files: HostPath;
  /** null: the host's. */
  readonly namespace: Namespace | null;
  /** To be called with the namespace that is made, open, before anything runs in it; null if nothing is to be done. */
  readonly connect: ((namespaceFd: number) => Promise<void>) | null;
}

export interface NetworkSubject {
  readonly id: number;
  readonly name: string;
  readonly options: ContainerOptions;
  readonly config: ProcessConfig;
  /** Its own directory, which is made; its files are written there. */
  readonly files: HostPath;
  /** Of its user namespace; null for this host's. */
  readonly ids: IdMappings | null;
}

/**
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED` if the container whose network is wanted does not run
 * @throws as `parseNetworkOptions`, `joinBridge` and `findContainer`
 */
export async function prepareNetwork(store: Store, subject: NetworkSubject): Promise<ContainerNetwork> {
  const { id, options, config, files } = subject;
  const request = parseNetworkOptions(options.network, options.networking, options.hostname);
  const { mode } = request;
  mkdirSync(bytesOf(files), { recursive: true, mode: 0o700 });
  if (mode.kind === "container") return requireNetworkOf(store, mode.name);
  const isPublishing = request.publish.length > 0 || request.publishAll;
  if (isPublishing && mode.kind !== "bridge")
    store.logger.warn("network.ports-discarded", { network: options.network });
  using stack = new DisposableStack();
  const place = mode.kind === "bridge" ? stack.use(await joinBridge(store, id, request, config)) : null;
  const hostname = ownHostname(subject.name, options, mode);
  const texts = {
    hosts: hostsOf(subject.name, hostname, request, place),
    hostname: `${hostname}\n`,
    "resolv.conf": resolverText(request, store.logger),
  };
  writeOwnFiles(files, texts, subject.ids);
  const isMadeHere = place !== null && options.runtime !== undefined; // another runtime lets nobody in before the command
  const namespace = isMadeHere ? await makeConnected(place, stack) : namespaceOf(mode);
  const kept = stack.move();
  const connect = place === null || isMadeHere ? null : (fd: number): Promise<void> => place.connect(fd);
  return { hostname, files, namespace, connect, [Symbol.dispose]: () => kept.dispose() };
}

/** A network namespace on the bridge, which is there as long as `stack` has it, or a process is in it. */
async function makeConnected(place: BridgePlace, stack: DisposableStack): Promise<Namespace> {
  const fd = stack.adopt(makeNetworkNamespace(), close);
  await place.connect(fd);
  return { type: "network", path: `/proc/${process.pid}/fd/${fd}` };
}

/** The name that a container has for itself: where it has the network of another that runs, that one's. */
export function hostnameOf(store: Store, name: string, options: ContainerOptions): string {
  const { mode } = parseNetworkOptions(options.network, options.networking, options.hostname);
  const joined = mode.kind === "container" ? networkOf(store, mode.name) : null;
  return joined?.hostname ?? ownHostname(name, options, mode);
}

/** How many containers may have the network of one that has the network of the next. */
const LONGEST_CHAIN = 8;

/** That of a container, with its name and its files, as docker has it; null if it does not run. */
function networkOf(store: Store, name: string, depth = 0): ContainerNetwork | null {
  const { id } = findContainer(store, name);
  const row = isHeld(store, id) ? getContainer(store.db, id) : null;
  if (row === null || row.init === null || depth > LONGEST_CHAIN) return null;
  const options = JSON.parse(row.options) as ContainerOptions; // as `createContainer` wrote it
  const { mode } = parseNetworkOptions(options.network, options.networking, options.hostname);
  const joined: ContainerNetwork = {
    hostname: ownHostname(name, options, mode),
    files: containerDirectory(store, id),
    namespace: pathOf(row.init),
    connect: null,
    [Symbol.dispose]: () => {},
  };
  if (mode.kind !== "container") return joined;
  const next = networkOf(store, mode.name, depth + 1);
  return next === null ? null : { ...joined, hostname: next.hostname, files: next.files };
}

function requireNetworkOf(store: Store, name: string): ContainerNetwork {
  const joined = networkOf(store, name);
  if (joined !== null) return joined;
  const state = `it is not running; start it first ("layerctl start ${name}")`;
  const message = `Cannot use the network of container "${name}": ${state}`;
  throw new ConflictError("ERR_CONTAINER_STOPPED", message, { data: { name } });
}

function pathOf(pid: number): Namespace {
  return { type: "network", path: `/proc/${pid}/ns/net` };
}

function namespaceOf(mode: NetworkRequest["mode"]): Namespace | null {
  if (mode.kind === "host") return null;
  return mode.kind === "namespace" ? { type: "network", path: mode.path } : { type: "network" };
}

const LONGEST_HOSTNAME = 63;

function ownHostname(name: string, { hostname, namespaces = {} }: ContainerOptions, { kind }: NetworkMode): string {
  const hasHosts = kind === "host" || namespaceMode(namespaces, "uts").kind === "host";
  return hostname ?? (hasHosts ? hostnameOfHost() : name.slice(0, LONGEST_HOSTNAME));
}

function hostsOf(name: string, hostname: string, request: NetworkRequest, place: BridgePlace | null): string {
  const gateway = place?.gateway ?? "127.0.0.1";
  const given = request.hosts.map((entry) => ({ address: entry.address ?? gateway, names: [entry.name] }));
  if (request.mode.kind === "host") return (hostFile("/etc/hosts") || hostsText([])) + linesText(given);
  const own: HostLine =
    place === null
      ? { address: "127.0.0.1", names: [hostname] }
      : { address: place.address, names: [hostname, name, ...request.aliases] };
  return hostsText([own, ...given], place?.others ?? []);
}
