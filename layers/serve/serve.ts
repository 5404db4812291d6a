/** Serves a store to containerd until it is told to stop, and then answers what it has begun to answer. */

import type { Socket } from "node:net";
import { UnsupportedError } from "../../src/errors.ts";
import { countHeldSnapshots } from "../../src/meta/held-snapshots.ts";
import { countLayers } from "../../src/meta/layers.ts";
import { NATIVE } from "../../src/overlay/layer-form.ts";
import { display } from "../../src/paths.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import { sendDatagram } from "../../src/sys/unix-socket.ts";
import type { Store } from "../store.ts";
import { formOf } from "../store-form.ts";
import { GrpcService } from "./grpc-service.ts";
import type { MountStyle } from "./held-mounts.ts";
import { type Metric, RequestMetrics } from "./metrics.ts";
import { MetricsServer } from "./metrics-server.ts";
import { Snapshotter } from "./snapshotter.ts";
import { type SocketOptions, UnixListener } from "./unix-listener.ts";

export interface ServeOptions {
  /** Where containerd calls. */
  readonly socket: SocketOptions;
  /** Where /metrics and /health are; null: nowhere. */
  readonly metrics: SocketOptions | null;
  /** In whose name snapshots are held: two engines on one store need two names. */
  readonly holder: string;
  readonly style: MountStyle;
  /** Aborts when the server is to stop. */
  readonly signal: AbortSignal;
  /** Called once calls are taken. */
  readonly onReady: () => void;
}

/** How long calls may take once the server is to stop. */
const GRACE_MS = 10_000;

/**
 * Ends, after the last answer, when `signal` aborts.
 * @throws {UnsupportedError} `ERR_NEEDS_ROOT`, `ERR_STORE_FORM`, `ERR_STORE_PATH` for a store that containerd cannot mount from
 * @throws {ConflictError} `ERR_SOCKET_IN_USE`, `ERR_SOCKET_TYPE`
 */
export async function serve(store: Store, options: ServeOptions): Promise<void> {
  refuseUnusable(store);
  const { socket, holder, style, signal } = options;
  await using snapshotter = new Snapshotter(store, holder, style);
  const requests = new RequestMetrics();
  const service = new GrpcService(snapshotter, requests, store.logger);
  const watched = {
    metrics: () => requests.format(storeMetrics(store, holder, snapshotter)),
    problem: () => {
      countLayers(store.db); // throws if the database cannot be read
      return signal.aborted ? "stopping" : null;
    },
  };
  const http = new MetricsServer(watched);
  const listeners: UnixListener[] = [];
  try {
    const listen = async (at: SocketOptions, take: (socket: Socket) => void): Promise<void> => {
      listeners.push(await UnixListener.open(at, store.logger, take));
    };
    await listen(socket, (connection) => service.accept(connection));
    if (options.metrics !== null) await listen(options.metrics, (connection) => http.accept(connection));
    forgetPassedSockets();
    notify("READY=1");
    options.onReady();
    await aborted(signal);
    notify("STOPPING=1");
  } finally {
    for (const listener of listeners) listener.close();
    await service.close(GRACE_MS);
    http.close();
  }
}

/** A program that is started from here must not think that they are its own (sd_listen_fds(3)). */
function forgetPassedSockets(): void {
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name];
}

/** Tells systemd (sd_notify(3)), if it wants to be told. */
function notify(state: string): void {
  const path = process.env.NOTIFY_SOCKET ?? "";
  if (path !== "") sendDatagram(path, state);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function refuseUnusable(store: Store): void {
  const root = display(store.layout.root);
  const refuse = (code: string, state: string): never => {
    throw new UnsupportedError(code, `Cannot serve store "${root}": ${state}`, { data: { path: root } });
  };
  if (!canRestoreOwners()) refuse("ERR_NEEDS_ROOT", "layers keep their owners, which takes root");
  if (formOf(store) !== NATIVE) {
    refuse("ERR_STORE_FORM", "an ordinary user made it, and its layers keep owners in attributes; serve another store");
  }
  // Directories are handed over in mount options, and as protobuf's text.
  if (!/^[^:,\\\u0080-\uffff]*$/.test(store.layout.root)) {
    refuse(
      "ERR_STORE_PATH",
      'in mount options its path must be ASCII without ":", "," and "\\"; move it, or give another --root',
    );
  }
}

function storeMetrics(store: Store, holder: string, { counts, adoptions }: Snapshotter): readonly Metric[] {
  const kinds = countHeldSnapshots(store.db, holder);
  const memory = process.memoryUsage.rss();
  const gauge = (name: string, help: string, value: number): Metric => ({
    name,
    help,
    type: "gauge",
    values: [["", value]],
  });
  const counter = (name: string, help: string, value: number): Metric => ({
    name,
    help,
    type: "counter",
    values: [["", value]],
  });
  return [
    {
      name: "layerctl_snapshots",
      help: "Snapshots held for the engine.",
      type: "gauge",
      values: ["active", "view", "committed"].map((kind) => [`kind="${kind}"`, kinds.get(kind) ?? 0] as const),
    },
    gauge("layerctl_layers", "Unpacked layers of the store.", countLayers(store.db)),
    counter(
      "layerctl_targets_found_total",
      "Layers that were there when they were to be unpacked.",
      counts.targetsFound,
    ),
    counter(
      "layerctl_layers_adopted_total",
      "Layers taken into the store that the engine unpacked.",
      adoptions.adopted,
    ),
    counter("layerctl_layers_linked_total", "Layers unpacked once more, that the store had.", adoptions.linked),
    gauge("process_resident_memory_bytes", "Memory of the server.", memory),
    gauge("process_start_time_seconds", "When the server started.", performance.timeOrigin / 1000),
  ];
}
