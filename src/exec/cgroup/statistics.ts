/**
 * What a group uses: the accounting files of cgroup v1 and v2 (Documentation/admin-guide/cgroup-v1, cgroup-v2.rst). Memory is
 * without the part of the page cache that has not been used lately, as docker counts it.
 */

import { type Cgroup, readControl } from "./group.ts";

/** Null: this host has no controller that knows. */
export interface GroupStatistics {
  /** Processor time since the group was made, in nanoseconds. */
  readonly cpuNs: number | null;
  readonly memoryBytes: number | null;
  /** Null without a limit, too. */
  readonly memoryLimitBytes: number | null;
  /** Of block devices, since the group was made. */
  readonly readBytes: number | null;
  readonly writtenBytes: number | null;
  /** Processes and threads. */
  readonly pids: number | null;
}

export function groupStatistics(group: Cgroup): GroupStatistics {
  return { ...(group.version === 2 ? version2Statistics(group) : version1Statistics(group)), pids: pidsOf(group) };
}

function version2Statistics(group: Cgroup): Omit<GroupStatistics, "pids"> {
  const usageUs = field(readControl(group, "cpu.stat"), "usage_usec");
  const io = readControl(group, "io.stat");
  return {
    cpuNs: usageUs === null ? null : usageUs * 1_000,
    memoryBytes: less(number(readControl(group, "memory.current")), readControl(group, "memory.stat"), "inactive_file"),
    memoryLimitBytes: number(readControl(group, "memory.max")), // "max" is no number
    readBytes: sum(io, /\brbytes=(\d+)/g),
    writtenBytes: sum(io, /\bwbytes=(\d+)/g),
  };
}

/** What version 1 says where there is no limit: the largest multiple of a page, which depends on its size. */
const NO_LIMIT = 2 ** 62;

function version1Statistics(group: Cgroup): Omit<GroupStatistics, "pids"> {
  const used = number(readControl(group, "memory.usage_in_bytes"));
  const limit = number(readControl(group, "memory.limit_in_bytes"));
  const io = readControl(group, "blkio.throttle.io_service_bytes_recursive");
  return {
    cpuNs: number(readControl(group, "cpuacct.usage")),
    memoryBytes: less(used, readControl(group, "memory.stat"), "total_inactive_file"),
    memoryLimitBytes: limit !== null && limit < NO_LIMIT ? limit : null,
    readBytes: sum(io, /^\S+ Read (\d+)$/gm),
    writtenBytes: sum(io, /^\S+ Write (\d+)$/gm),
  };
}

function pidsOf(group: Cgroup): number | null {
  return number(readControl(group, "pids.current"));
}

function number(text: string | null): number | null {
  return text !== null && /^\d+\n?$/.test(text) ? Number(text) : null;
}

function field(text: string | null, name: string): number | null {
  const line = text?.split("\n").find((each) => each.startsWith(`${name} `));
  return line === undefined ? null : Number(line.slice(name.length + 1));
}

function less(whole: number | null, text: string | null, name: string): number | null {
  return whole === null ? null : Math.max(0, whole - (field(text, name) ?? 0));
}

function sum(text: string | null, pattern: RegExp): number | null {
  if (text === null) return null;
  return [...text.matchAll(pattern)].reduce((total, [, bytes]) => total + Number(bytes), 0);
}
