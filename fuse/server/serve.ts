/**
 * Serves one mount from start to end. A thread answers the kernel and does nothing else, unless fuse-native does; this one
 * takes the signals: SIGTERM and SIGINT unmount, SIGUSR1 tells what was counted.
 */

import { Worker } from "node:worker_threads";
import type { LogFields, Logger } from "../../src/log.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { raiseOpenFilesLimit } from "../../src/sys/limits.ts";
import { type PackedError, unpackError } from "../../src/thread-errors.ts";
import { type FuseOptions, parseFuseOptions, type Transport } from "../options.ts";
import { Counters } from "./counters.ts";
import { unmountTarget } from "./unmount-target.ts";

/** The bundle has the thread beside it; a checkout runs the source. */
const THREAD = new URL(import.meta.url.endsWith(".ts") ? "./thread.ts" : "./fuse-thread.cjs", import.meta.url);

/** Nodes live long: a larger nursery only copies them about, and counts as memory (25 MiB for 75,000 nodes, measured). */
const YOUNG_MIB = 8;

/** What is to be mounted where. */
export interface Task {
  readonly options: FuseOptions;
  /** Absolute, without symbolic links. */
  readonly target: HostPath;
}

/** What the thread gets. */
export interface ThreadTask extends Task {
  readonly counters: SharedArrayBuffer;
  readonly debug: boolean;
}

/** What the thread says. */
export type ThreadMessage =
  | { readonly kind: "ready" }
  /** The mount is gone: whatever becomes of the thread after this, it has done its work. */
  | { readonly kind: "ended" }
  | { readonly kind: "failed"; readonly error: PackedError }
  | { readonly kind: "log"; readonly level: keyof Logger; readonly event: string; readonly fields: LogFields };

/** The task that `-o` and a directory name. Relative paths start at `directory`. @throws as `parseFuseOptions` */
export function taskOf(options: string, target: HostPath, directory: HostPath): Task {
  const parsed = parseFuseOptions(options);
  const absolute = (path: HostPath): HostPath => (path.startsWith("/") ? path : joinHost(directory, path));
  return {
    target: absolute(target),
    options: {
      ...parsed,
      lowerdirs: parsed.lowerdirs.map(absolute),
      upperdir: parsed.upperdir === null ? null : absolute(parsed.upperdir),
      workdir: parsed.workdir === null ? null : absolute(parsed.workdir),
    },
  };
}

/** What is to be unmounted. */
export interface UnmountTask {
  readonly target: HostPath;
}

/**
 * Mounts and serves; settles when the mount is gone. `onReady` is called when it is live.
 * @throws what kept it from being mounted, or served on
 */
export async function serveMount(task: Task, log: Logger, onReady: () => void): Promise<void> {
  process.umask(0); // modes are the callers' business; threads have it from the process
  raiseOpenFilesLimit();
  const counters = new Counters();
  counters.startedAtMs = Date.now();
  const tell = (): void => log.warn("fuse.statistics", { ...counters.snapshot() });
  const { serve, unmount } = await serverFor(task.options.transport);
  const stop = (): void => unmount(task.target, log);
  try {
    await serve(task, counters, log, () => {
      process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGUSR1", tell);
      onReady();
    });
  } finally {
    process.off("SIGTERM", stop).off("SIGINT", stop).off("SIGUSR1", tell);
  }
}

interface TransportServer {
  serve(task: Task, counters: Counters, log: Logger, onReady: () => void): Promise<void>;
  unmount(target: HostPath, log: Logger): void;
}

async function serverFor(transport: Transport): Promise<TransportServer> {
  if (transport === "device") return { serve: serveThread, unmount };
  const { serveNative, unmountBesides } = await import("./serve-native.ts");
  return { serve: serveNative, unmount: unmountBesides };
}

function unmount(target: HostPath, log: Logger): void {
  unmountTarget(target, (reason) => log.error("fuse.unmount.failed", { target, reason }));
}

async function serveThread(task: Task, counters: Counters, log: Logger, onReady: () => void): Promise<void> {
  const workerData: ThreadTask = { ...task, counters: counters.shared, debug: task.options.debug };
  const thread = new Worker(THREAD, { workerData, resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB } });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let hasEnded = false;
  thread.on("message", (message: ThreadMessage) => {
    if (message.kind === "log") log[message.level](message.event, message.fields);
    else if (message.kind === "failed") reject(unpackError(message.error));
    else if (message.kind === "ended") hasEnded = true;
    else onReady();
  });
  thread.on("error", (error) => {
    if (!hasEnded) reject(error);
  });
  thread.on("exit", () => resolve()); // not before: a thread that is ended inside a call of libc takes the process with it
  await promise;
}
