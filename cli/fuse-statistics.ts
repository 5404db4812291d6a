/** What the servers of FUSE mounts have counted, asked of each through an attribute of its root. */

import type { Statistics } from "../fuse/server/counters.ts";
import { isErrno } from "../src/errors.ts";
import { mountsOfType } from "../src/mount/mount-info.ts";
import { display, type HostPath } from "../src/paths.ts";
import { FUSE_TYPE, STATISTICS_XATTR } from "../src/sys/fuse-device.ts";
import { getXattr } from "../src/sys/xattr.ts";
import { formatSize, formatTime } from "./output.ts";

export interface MountStatistics {
  readonly target: HostPath;
  /** null: nobody serves it any more, or it is not ours to look at. */
  readonly statistics: Statistics | null;
}

/** One for each mount of ours that this user has made, snapshots and others; a server of somebody else's need not answer. */
export function fuseStatistics(): readonly MountStatistics[] {
  const own = String(process.geteuid?.());
  return mountsOfType(FUSE_TYPE)
    .filter(({ superOptions }) => superOptions.some(([name, value]) => name === "user_id" && value === own))
    .map(({ target }) => ({ target, statistics: read(target) }));
}

function read(target: HostPath): Statistics | null {
  try {
    const text = getXattr(target, STATISTICS_XATTR)?.toString("utf8");
    return text === undefined ? null : (JSON.parse(text) as Statistics);
  } catch (error) {
    if (isErrno(error, "ENOTCONN", "ECONNABORTED", "EACCES", "ENOENT")) return null;
    throw error;
  }
}

/** For people. `name`: the snapshot that is mounted there, if it is one. */
export function statisticsLines({ target, statistics }: MountStatistics, name: string | null): readonly string[] {
  const title = `${display(target)}${name === null ? "" : ` (${name})`}`;
  if (statistics === null) return [`${title}: its server does not answer`];
  const { requests, knownInodes, opens, failedRequests, memoryBytes, startedAt } = statistics;
  const kinds = Object.entries(requests).sort(([, a], [, b]) => b - a);
  const total = kinds.reduce((sum, [, count]) => sum + count, 0);
  return [
    `${title}, since ${formatTime(Date.parse(startedAt))}`,
    `  requests  ${[`${total}`, ...kinds.map(([kind, count]) => `${kind} ${count}`)].join(", ")}`,
    `  latency   ${latencyWords(statistics)}`,
    `  opens     ${opens.passthrough} by passthrough, ${opens.cached} through the page cache`,
    `  caches    ${cacheWords(statistics)}`,
    `  inodes    ${knownInodes} known`,
    `  failures  ${failedRequests}`,
    `  memory    ${formatSize(memoryBytes)}`,
  ];
}

/** A server of an earlier version, which still runs, has none. */
function cacheWords({ caches }: Partial<Statistics>): string {
  const share = ({ hits, misses }: { readonly hits: number; readonly misses: number }): string =>
    hits + misses === 0 ? "not asked" : `${Math.round((100 * hits) / (hits + misses))} % of ${hits + misses}`;
  if (caches === undefined) return "not counted";
  const { listings, nodes, noXattrs } = caches;
  return `listings ${share(listings)}, nodes ${share(nodes)}, files without attributes ${share(noXattrs)}`;
}

function latencyWords({ latency }: Statistics): string {
  const total = latency.reduce((sum, { count }) => sum + count, 0);
  const under = (share: number): number => {
    let seen = 0;
    for (const { underMicros, count } of latency) {
      seen += count;
      if (seen >= share * total) return underMicros;
    }
    return 0;
  };
  return `half under ${under(0.5)} µs, 99 % under ${under(0.99)} µs, all under ${under(1)} µs`;
}
