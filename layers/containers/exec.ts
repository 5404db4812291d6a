/** Further commands in a container that runs. */

import { ConflictError } from "../../src/errors.ts";
import { join } from "../../src/exec/join.ts";
import type { LaunchOptions, Running } from "../../src/exec/launcher.ts";
import { execWithRuntime } from "../../src/exec/oci-runtime.ts";
import { openRunning, type RunningRoot } from "../../src/exec/running-root.ts";
import { type ContainerRow, getContainer } from "../../src/meta/containers.ts";
import type { Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { configOf } from "./containers.ts";
import { containerDirectory, findContainer, isHeld } from "./held.ts";
import { hostnameOf } from "./network.ts";
import type { ContainerOptions } from "./options.ts";
import { cgroupOf, refusePaused } from "./pause.ts";
import { type ExecOptions, furtherProcess } from "./spec.ts";

export interface ExecRequest extends ExecOptions, LaunchOptions {
  /** It outlives this process, and its exit code comes to nobody. */
  readonly detached: boolean;
}

/**
 * Runs a command in a container that runs; it runs when this settles.
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED`, `ERR_CONTAINER_PAUSED`
 * @throws as `findContainer`, `furtherProcess`, `join` and `execWithRuntime`
 */
export async function execInContainer(store: Store, name: string, request: ExecRequest): Promise<Running> {
  const snapshot = findContainer(store, name);
  using opened = openContainer(store, snapshot, "run a command in");
  await refusePaused(store, snapshot.id, snapshot.name, "run a command in");
  const { row, container } = opened;
  const options = JSON.parse(row.options) as ContainerOptions; // as `createContainer` wrote it
  const hostname = hostnameOf(store, snapshot.name, options);
  const task = furtherProcess(configOf(store, snapshot), options, request, container.root, hostname);
  const { runtime } = options;
  if (runtime !== undefined) {
    return await execWithRuntime(runtime, containerDirectory(store, snapshot.id), container.root, task, request);
  }
  return await join(container, cgroupOf(row), task, request);
}

export interface OpenedContainer extends Disposable {
  readonly row: ContainerRow;
  readonly container: RunningRoot;
}

/**
 * The root and the namespaces of a container that runs.
 * @throws {ConflictError} `ERR_CONTAINER_STOPPED`: `verb` is what cannot be done then
 */
export function openContainer(store: Store, { id, name }: Snapshot, verb: string): OpenedContainer {
  const row = getContainer(store.db, id);
  const container = row?.init == null ? null : openRunning(row.init);
  // After its process was opened: while the container is held, and its row says so, that process is the one.
  if (row !== null && container !== null && isHeld(store, id) && getContainer(store.db, id)?.init === row.init) {
    return { row, container, [Symbol.dispose]: () => container[Symbol.dispose]() };
  }
  container?.[Symbol.dispose]();
  const message = `Cannot ${verb} container "${name}": it is not running; "layerctl start ${name}" starts it`;
  throw new ConflictError("ERR_CONTAINER_STOPPED", message, { data: { name } });
}
