/** The processes of a container that runs, as ps(1) of this host shows them. */

import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { ConflictError, UnsupportedError, UsageError } from "../../src/errors.ts";
import { processesIn } from "../../src/exec/cgroup/cgroup.ts";
import { getContainer } from "../../src/meta/containers.ts";
import type { Store } from "../store.ts";
import { findContainer, isHeld } from "./held.ts";
import { cgroupOf } from "./pause.ts";

/** A table, with the titles that ps(1) gives its columns. */
export interface ProcessTable {
  readonly titles: readonly string[];
  readonly processes: readonly (readonly string[])[];
}

/** docker's. */
const DEFAULT_OPTIONS = ["-ef"];
const MOST_BYTES = 64 * 2 ** 20;

/** The processes of a container, as this host numbers them. @throws {ConflictError} `ERR_CONTAINER_STOPPED` */
export function processIdsOf(store: Store, name: string): readonly number[] {
  const { id, name: ownName } = findContainer(store, name);
  const row = getContainer(store.db, id);
  if (row?.init == null || !isHeld(store, id)) {
    const message = `Cannot list the processes of container "${ownName}": it is not running`;
    throw new ConflictError("ERR_CONTAINER_STOPPED", message, { data: { name: ownName } });
  }
  const group = cgroupOf(row);
  return group === null ? [row.init] : processesIn(group);
}

/**
 * The processes of a container as ps(1) shows them with `options`, which have to show their ids.
 * @throws {UsageError} `ERR_PS_OPTIONS` for options that ps refuses, or that show no column PID
 * @throws {UnsupportedError} `ERR_NO_PS`
 * @throws as `processIdsOf`
 */
export function topOf(store: Store, name: string, options: readonly string[]): ProcessTable {
  const pids = new Set(processIdsOf(store, name).map(String));
  const asked = options.length === 0 ? DEFAULT_OPTIONS : options;
  const named = runPs([...asked, "-q", [...pids].join(",")]);
  // Some options cannot be used together with -q; without them ps shows at least those of this terminal.
  const { stdout, stderr, status } = named.status === 0 ? named : runPs(asked);
  const refuse = (state: string): UsageError =>
    new UsageError("ERR_PS_OPTIONS", `Cannot list processes with "ps ${asked.join(" ")}": ${state}`);
  if (status !== 0) throw refuse(stderr.trim().split("\n")[0] ?? `it ended with ${status}`);
  const [head = "", ...lines] = stdout.trimEnd().split("\n");
  const titles = head.trim().split(/\s+/);
  const column = titles.indexOf("PID");
  if (column < 0) throw refuse("its output has no column PID");
  const rows = lines.map((line) => fields(line, titles.length));
  return { titles, processes: rows.filter((row) => pids.has(row[column] ?? "")) };
}

function runPs(args: readonly string[]): SpawnSyncReturns<string> {
  const result = spawnSync("ps", args, { encoding: "utf8", maxBuffer: MOST_BYTES });
  if (result.error === undefined) return result;
  const message = "Cannot list processes: ps is not installed; install procps";
  throw new UnsupportedError("ERR_NO_PS", message, { cause: result.error });
}

/** The last column may have spaces. */
function fields(line: string, count: number): readonly string[] {
  const words = line.trim().split(/\s+/);
  return [...words.slice(0, count - 1), words.slice(count - 1).join(" ")];
}
