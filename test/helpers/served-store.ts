/** A store that the built `layerctl serve` serves, as a user would start it, and a client of it. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after } from "node:test";
import { LAYERCTL, type TestStore, temporaryStore } from "./layerctl.ts";
import { SnapshotsClient } from "./snapshots-client.ts";

/** A server that has not said it is ready after this never will. */
const PATIENCE_MS = 60_000;

export interface Serving {
  readonly process: ChildProcess;
  /** All that it has said on stderr. */
  log(): string;
  /** Sends a signal and waits for the end; the exit code, or the signal that it died of. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

export interface ServedStore extends TestStore {
  readonly socket: string;
  readonly client: SnapshotsClient;
  readonly serving: Serving;
  /** Starts another server after `serving.end`, which is `serving` then. */
  restart(...options: readonly string[]): Promise<void>;
}

/** Starts `layerctl serve` on a store; it is ready when this settles. */
export async function startServing(root: string, ...options: readonly string[]): Promise<Serving> {
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const child = spawn(LAYERCTL, ["--root", root, "serve", ...options], { stdio: ["ignore", "ignore", "pipe"], env });
  let log = "";
  const ready = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`layerctl serve is not ready: ${log}`)), PATIENCE_MS);
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text;
      if (log.includes("serving containerd at")) {
        clearTimeout(timer);
        resolve();
      }
    });
    child.on("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`layerctl serve ended with ${code}: ${log}`));
    });
  });
  await ready;
  return {
    process: child,
    log: () => log,
    end: async (signal) => {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode ?? child.signalCode;
      const ended = once(child, "exit");
      child.kill(signal);
      await ended;
      return child.exitCode ?? child.signalCode;
    },
  };
}

/** `await using served = await servedStore();` */
export async function servedStore(...options: readonly string[]): Promise<ServedStore> {
  const store = temporaryStore();
  const socket = join(store.path, "s.sock");
  const start = (more: readonly string[]) => startServing(store.root, "--containerd", socket, ...more);
  try {
    let serving = await start(options);
    const client = new SnapshotsClient(socket);
    return {
      ...store,
      socket,
      client,
      get serving() {
        return serving;
      },
      restart: async (...more) => {
        serving = await start(more);
        await client.reconnect();
      },
      async [Symbol.asyncDispose]() {
        client[Symbol.dispose]();
        await serving.end("SIGTERM");
        store.remove();
      },
    };
  } catch (error) {
    store.remove();
    throw error;
  }
}

/** One store for all tests of a file, disposed after the last; made only if they are not skipped. */
export async function oneServedStore(skip: string | false): Promise<() => ServedStore> {
  const served = skip === false ? await servedStore() : null;
  after(async () => {
    await served?.[Symbol.asyncDispose]();
  });
  return () => {
    if (served === null) throw new Error("skipped");
    return served;
  };
}
