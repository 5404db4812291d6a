/** Everything about a container, for people and programs. docs/commands.md describes the fields. */

import { type ContainerRow, getContainer } from "../../src/meta/containers.ts";
import { getImage } from "../../src/meta/images.ts";
import { bytesOf, joinHost } from "../../src/paths.ts";
import { imageOfRow } from "../image.ts";
import type { Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { LOG } from "./detached.ts";
import { containerDirectory } from "./held.ts";
import { hostnameOf } from "./network.ts";
import { networkState } from "./network-state.ts";
import type { ContainerOptions } from "./options.ts";
import { cgroupOf, isPaused } from "./pause.ts";
import { commandOf, placedVolumes } from "./spec.ts";
import { processIdsOf } from "./top.ts";

/** What a container is and has beside its snapshot; null if the snapshot is no container. After `repairContainers`. */
export function describeContainer(store: Store, snapshot: Snapshot): object | null {
  const row = getContainer(store.db, snapshot.id);
  if (row === null) return null;
  const options = JSON.parse(row.options) as ContainerOptions; // as `createContainer` wrote it
  return {
    state: stateOf(row),
    config: configOf(store, snapshot, options),
    mounts: placedVolumes(options, store.layout.volumes).map(({ type, source, destination, options: flags }) => ({
      ...{ type, source: type === "bind" ? source : null, destination },
      readOnly: flags.includes("ro"),
    })),
    network: networkState(store, snapshot.id),
    limits: options.limits,
    pids: row.init === null ? [] : processIdsOf(store, snapshot.name),
    paths: {
      directory: bytesOf(containerDirectory(store, snapshot.id)).toString(),
      log: bytesOf(joinHost(containerDirectory(store, snapshot.id), LOG)).toString(),
      cgroups: cgroupOf(row)?.directories ?? [],
    },
  };
}

function stateOf(row: ContainerRow): object {
  const time = (timeMs: number | null): string | null => (timeMs === null ? null : new Date(timeMs).toISOString());
  const isRunning = row.state === "running";
  const paused = isRunning && isPaused(row);
  return {
    status: paused ? "paused" : row.state,
    ...{ running: isRunning, paused },
    pid: row.init,
    exitCode: row.exitCode,
    oomKilled: row.oomKilled,
    started: time(row.startedAtMs),
    finished: time(row.finishedAtMs),
  };
}

function configOf(store: Store, snapshot: Snapshot, options: ContainerOptions): object {
  const image = snapshot.image === null ? null : getImage(store.db, snapshot.image);
  const config = image === null ? {} : (imageOfRow(store, image).config.config ?? {});
  return {
    command: commandOf(config, options),
    env: [...(config.Env ?? []), ...options.env],
    user: options.user ?? config.User ?? "",
    workdir: options.workdir ?? config.WorkingDir ?? "",
    hostname: hostnameOf(store, snapshot.name, options),
    ...{ terminal: options.terminal, interactive: options.interactive },
    ...{ readOnly: options.readOnly, privileged: options.privileged },
    ...{ capAdd: options.capAdd, capDrop: options.capDrop },
    ...{ securityOptions: options.securityOptions, ulimits: options.ulimits },
    init: options.init ?? null,
    runtime: options.runtime ?? null,
    autoRemove: getContainer(store.db, snapshot.id)?.autoRemove ?? false,
  };
}
