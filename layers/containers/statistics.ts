/** What containers use, and how fast: of two looks at their groups. */

import { totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type GroupStatistics, groupStatistics } from "../../src/exec/cgroup/statistics.ts";
import { type NetworkStatistics, networkStatistics } from "../../src/exec/network-statistics.ts";
import { getContainer, listContainers } from "../../src/meta/containers.ts";
import { getSnapshotById } from "../../src/meta/snapshots.ts";
import type { Store } from "../store.ts";
import { findContainer } from "./held.ts";
import { cgroupOf } from "./pause.ts";

export interface ContainerStatistics {
  readonly name: string;
  /** Of one processor, since the look before; null without one. */
  readonly cpuPercent: number | null;
  /** Null if nothing runs in it. */
  readonly group: GroupStatistics | null;
  /** What it may use; of this host if it has no limit. */
  readonly memoryLimitBytes: number;
  /** Null without a network of its own. */
  readonly network: NetworkStatistics | null;
}

/** A look, to compare the next with. */
export interface Look {
  readonly timeNs: bigint;
  readonly containers: ReadonlyMap<number, ContainerStatistics>;
}

export interface WhichContainers {
  /** Empty: those that run. */
  readonly names: readonly string[];
  /** Those that do not run, too. */
  readonly all: boolean;
}

/** Looks at containers, in the order of their names here or oldest first. @throws as `findContainer` */
export function lookAtContainers(store: Store, { names, all }: WhichContainers, before?: Look): Look {
  const isNamed = names.length > 0;
  const ids = isNamed
    ? names.map((name) => findContainer(store, name).id)
    : listContainers(store.db).map(({ snapshot }) => snapshot);
  const timeNs = process.hrtime.bigint();
  const found = ids.flatMap((id) => {
    const statistics = statisticsOf(store, id, timeNs, before);
    return statistics === null || (statistics.group === null && !isNamed && !all) ? [] : [[id, statistics] as const];
  });
  return { timeNs, containers: new Map(found) };
}

function statisticsOf(store: Store, id: number, timeNs: bigint, before: Look | undefined): ContainerStatistics | null {
  const [row, snapshot] = [getContainer(store.db, id), getSnapshotById(store.db, id)];
  if (row === null || snapshot === null) return null;
  const cgroup = cgroupOf(row);
  const group = cgroup === null ? null : groupStatistics(cgroup);
  const usedBefore = before?.containers.get(id)?.group?.cpuNs ?? null;
  const used = group?.cpuNs ?? null;
  const isComparable = before !== undefined && used !== null && usedBefore !== null && used >= usedBefore;
  return {
    name: snapshot.name,
    cpuPercent: isComparable ? (100 * (used - usedBefore)) / Number(timeNs - before.timeNs) : null,
    group,
    memoryLimitBytes: Math.min(group?.memoryLimitBytes ?? Number.POSITIVE_INFINITY, totalmem()),
    network: row.init === null || group === null ? null : networkStatistics(row.init),
  };
}

const INTERVAL_MS = 1_000;

/** Looks again and again, a second apart; the first time comes after a second. @throws what `signal` was aborted with */
export async function* watchContainers(
  store: Store,
  which: WhichContainers,
  signal: AbortSignal,
): AsyncGenerator<readonly ContainerStatistics[]> {
  for (let look = lookAtContainers(store, which); ; ) {
    await sleep(INTERVAL_MS, undefined, { signal });
    look = lookAtContainers(store, which, look);
    yield [...look.containers.values()];
  }
}
