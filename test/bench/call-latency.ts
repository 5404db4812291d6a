/**
 * How long calls of containerd's snapshots service take, of one client and of several, with many snapshots in the store. A program
 * of its own, `node --max-semi-space-size=2 call-latency.ts DIRECTORY`: with a larger young generation its own garbage collector
 * is what is measured.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startServing } from "../helpers/served-store.ts";
import { requestBytes, SERVICE, SnapshotsClient } from "../helpers/snapshots-client.ts";
import { LeanClient } from "./lean-client.ts";

const SNAPSHOTS = 10_000;
/** Snapshots that each client makes, mounts, commits and removes in a round. */
const CALLS = 300;
/** As many before, which are not counted: connections are made, and the client's code is compiled. */
const WARM_UP = 20;
const CLIENTS = [1, 16] as const;
const TARGET_MS = 10;

const METHODS = ["Prepare", "Mounts", "Stat", "Commit", "Remove"] as const;
type Times = Record<(typeof METHODS)[number], number[]>;

/** A table of the 50th and 99th percentile, as a client sees them that has a connection and a turn of its own. */
async function callLatencies(workplace: string): Promise<string> {
  const directory = join(workplace, "latency");
  mkdirSync(directory);
  const socket = join(directory, "s.sock");
  const serving = await startServing(join(directory, "store"), "--containerd", socket);
  try {
    await fill(socket);
    const rows: string[] = [];
    for (const clients of CLIENTS) {
      const all: Times = { Prepare: [], Mounts: [], Stat: [], Commit: [], Remove: [] };
      await Promise.all(Array.from({ length: clients }, (_, number) => callMany(socket, number, all)));
      for (const method of METHODS) rows.push(rowOf(method, clients, all[method]));
    }
    const title = `### calls with ${SNAPSHOTS} snapshots in the store`;
    const head = "| call | clients | p50 ms | p99 ms | worst ms | target |\n| --- | --: | --: | --: | --: | --: |";
    return `${title}\n\n${head}\n${rows.join("\n")}\n`;
  } finally {
    await serving.end("SIGTERM");
  }
}

/** Ten stacks of committed snapshots, and active ones on top. */
async function fill(socket: string): Promise<void> {
  using client = new SnapshotsClient(socket);
  for (let stack = 0; stack < 10; stack++) {
    let parent = "";
    for (let layer = 0; layer < 10; layer++) {
      await client.prepare(`fill-${stack}-${layer}-a`, parent, { n: String(layer) });
      await client.commit(`fill-${stack}-${layer}`, `fill-${stack}-${layer}-a`, { n: String(layer) });
      parent = `fill-${stack}-${layer}`;
    }
  }
  for (let done = 100; done < SNAPSHOTS; done += 100) {
    const some = Array.from({ length: 100 }, (_, index) =>
      client.prepare(`fill-${done + index}`, `fill-${index % 10}-9`),
    );
    await Promise.all(some);
  }
}

async function callMany(socket: string, number: number, times: Times): Promise<void> {
  using client = new LeanClient(socket);
  let isCounted = false;
  const timed = async (method: keyof Times, request: object): Promise<void> => {
    const bytes = requestBytes(method, request);
    const begun = performance.now();
    await client.call(`/${SERVICE}/${method}`, bytes);
    if (isCounted) times[method].push(performance.now() - begun);
  };
  for (let index = -WARM_UP; index < CALLS; index++) {
    isCounted = index >= 0;
    const key = `call-${number}-${index}`;
    await timed("Prepare", { key, parent: `fill-${number % 10}-9` });
    await timed("Mounts", { key });
    await timed("Stat", { key });
    await timed("Commit", { name: `${key}-c`, key });
    await timed("Remove", { key: `${key}-c` });
  }
}

function rowOf(method: string, clients: number, times: number[]): string {
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? Number.NaN;
  const p99 = at(0.99);
  const target = `p99 < ${TARGET_MS} ms: ${p99 < TARGET_MS ? "met" : "missed"}`;
  return `| ${method} | ${clients} | ${at(0.5).toFixed(2)} | ${p99.toFixed(2)} | ${at(1).toFixed(2)} | ${target} |`;
}

console.log(await callLatencies(process.argv[2] ?? "."));
