/** Limits from docker's spellings; what docker refuses is refused. */

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { isErrno, UsageError } from "../../errors.ts";
import { deviceAt } from "../devices.ts";
import type { Resources, Throttle } from "./resources.ts";

/** As they were given. */
export interface LimitTexts {
  readonly memory?: string;
  readonly memorySwap?: string;
  readonly memoryReservation?: string;
  readonly oomKillDisable?: boolean;
  readonly cpus?: string;
  readonly cpuShares?: string;
  readonly cpuPeriod?: string;
  readonly cpuQuota?: string;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pidsLimit?: string;
  readonly blkioWeight?: string;
  readonly deviceReadBps?: readonly string[];
  readonly deviceWriteBps?: readonly string[];
  readonly deviceReadIops?: readonly string[];
  readonly deviceWriteIops?: readonly string[];
}

/** Docker's: with less a container does not come up. */
const LEAST_MEMORY_BYTES = 6 * 2 ** 20;
const DEFAULT_PERIOD_US = 100_000;
const [LEAST_PERIOD_US, MOST_PERIOD_US] = [1_000, 1_000_000];
const LEAST_QUOTA_US = 1_000;
const LEAST_CPUS = 0.01;
const [LEAST_SHARES, MOST_SHARES] = [2, 262_144];
const [LEAST_WEIGHT, MOST_WEIGHT] = [10, 1_000];
const UNITS: Readonly<Record<string, number>> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** The limits that are asked for. @throws {UsageError} `ERR_LIMIT` */
export function parseLimits(texts: LimitTexts): Omit<Resources, "devices"> {
  const memory = memoryOf(texts);
  const cpu = cpuOf(texts);
  const pids = texts.pidsLimit === undefined ? 0 : wholeNumber("--pids-limit", texts.pidsLimit);
  const blockIO = blockIoOf(texts);
  return {
    ...(Object.keys(memory).length > 0 && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(pids > 0 && { pids: { limit: pids } }), // docker: 0 and -1 are no limit
    ...(Object.keys(blockIO).length > 0 && { blockIO }),
  };
}

function memoryOf(texts: LimitTexts): NonNullable<Resources["memory"]> {
  const { memory, memorySwap, memoryReservation, oomKillDisable = false } = texts;
  const limit = leastMemory("--memory", memory);
  const reservation = leastMemory("--memory-reservation", memoryReservation);
  if (limit !== 0 && reservation > limit) {
    throw refused("--memory-reservation", memoryReservation ?? "", "it is more than --memory");
  }
  return {
    ...(limit !== 0 && { limit }),
    ...(reservation !== 0 && { reservation }),
    ...swapOf(limit, memorySwap),
    ...(oomKillDisable && { disableOOMKiller: true }),
  };
}

function leastMemory(option: string, text: string | undefined): number {
  const size = text === undefined ? 0 : bytes(option, text);
  if (size !== 0 && size < LEAST_MEMORY_BYTES) throw refused(option, text ?? "", "the least is 6m");
  return size;
}

function swapOf(limit: number, text: string | undefined): { readonly swap?: number } {
  if (text === undefined || text === "0") return {};
  if (limit === 0) throw refused("--memory-swap", text, "it needs --memory");
  if (text === "-1") return { swap: -1 };
  const swap = bytes("--memory-swap", text);
  if (swap < limit) throw refused("--memory-swap", text, "it is memory and swap together: less than --memory");
  return { swap };
}

function cpuOf(texts: LimitTexts): NonNullable<Resources["cpu"]> {
  const { cpuShares, cpusetCpus, cpusetMems } = texts;
  const shares = numberBetween("--cpu-shares", cpuShares, LEAST_SHARES, MOST_SHARES);
  if (cpusetCpus !== undefined) checkList("--cpuset-cpus", cpusetCpus, "cpu");
  if (cpusetMems !== undefined) checkList("--cpuset-mems", cpusetMems, "node");
  return {
    ...(shares !== 0 && { shares }),
    ...quotaOf(texts),
    ...(cpusetCpus !== undefined && { cpus: cpusetCpus }),
    ...(cpusetMems !== undefined && { mems: cpusetMems }),
  };
}

/** What is not there cgroup version 2 would take, and use all instead (cgroup-v2.rst, "Cpuset"). */
function checkList(option: string, text: string, kind: "cpu" | "node"): void {
  const wanted = numbersOf(text);
  if (wanted === null) throw refused(option, text, 'it is a list such as "0-2,4"');
  const online = onlineOf(kind);
  const available = numbersOf(online) ?? [];
  const isThere = (number: number): boolean => available.some(([first, last]) => number >= first && number <= last);
  for (const [first, last] of wanted) {
    for (let number = first; number <= last; number++) {
      if (!isThere(number)) throw refused(option, text, `this host has ${online}`);
    }
  }
}

function onlineOf(kind: "cpu" | "node"): string {
  try {
    return readFileSync(`/sys/devices/system/${kind}/online`, "latin1").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "0"; // a kernel without memory nodes
    throw error;
  }
}

/** The ranges of a list such as "0-2,4"; null if it is none. */
function numbersOf(text: string): readonly (readonly [first: number, last: number])[] | null {
  if (!/^\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*$/.test(text)) return null;
  const ranges = text.split(",").map((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return [first, last] as const;
  });
  return ranges.every(([first, last]) => first <= last) ? ranges : null;
}

function quotaOf({ cpus, cpuPeriod, cpuQuota }: LimitTexts): { readonly quota?: number; readonly period?: number } {
  const period = numberBetween("--cpu-period", cpuPeriod, LEAST_PERIOD_US, MOST_PERIOD_US);
  const quota = cpuQuota === "-1" ? 0 : numberBetween("--cpu-quota", cpuQuota, LEAST_QUOTA_US, Number.MAX_SAFE_INTEGER);
  const most = availableParallelism();
  const number = cpus === undefined ? 0 : /^\d*\.?\d+$/.test(cpus) ? Number(cpus) : Number.NaN;
  if (number === 0) return { ...(quota !== 0 && { quota }), ...(period !== 0 && { period }) };
  if (period !== 0 || quota !== 0) throw refused("--cpus", cpus ?? "", "it is --cpu-quota and --cpu-period in one");
  if (!(number >= LEAST_CPUS && number <= most)) {
    throw refused("--cpus", cpus ?? "", `it is from ${LEAST_CPUS} to ${most} here`);
  }
  return { quota: Math.round(number * DEFAULT_PERIOD_US), period: DEFAULT_PERIOD_US };
}

function blockIoOf(texts: LimitTexts): NonNullable<Resources["blockIO"]> {
  const weight = numberBetween("--blkio-weight", texts.blkioWeight, LEAST_WEIGHT, MOST_WEIGHT);
  const throttles = {
    throttleReadBpsDevice: throttlesOf("--device-read-bps", texts.deviceReadBps, bytes),
    throttleWriteBpsDevice: throttlesOf("--device-write-bps", texts.deviceWriteBps, bytes),
    throttleReadIOPSDevice: throttlesOf("--device-read-iops", texts.deviceReadIops, wholeNumber),
    throttleWriteIOPSDevice: throttlesOf("--device-write-iops", texts.deviceWriteIops, wholeNumber),
  };
  const given = Object.entries(throttles).filter(([, list]) => list.length > 0);
  return { ...(weight !== 0 && { weight }), ...Object.fromEntries(given) };
}

/** PATH:RATE each. */
function throttlesOf(
  option: string,
  texts: readonly string[] | undefined,
  rateOf: (option: string, text: string) => number,
): readonly Throttle[] {
  return (texts ?? []).map((text) => {
    const colon = text.lastIndexOf(":");
    const path = text.slice(0, Math.max(colon, 0));
    if (!path.startsWith("/dev/")) throw refused(option, text, 'it is a device and a rate, such as "/dev/sda:1mb"');
    const rate = rateOf(option, text.slice(colon + 1));
    if (rate <= 0) throw refused(option, text, "the rate is at least 1");
    const device = deviceAt(path);
    if (device?.type !== "b") throw refused(option, text, `"${path}" is no block device of this host`);
    return { major: device.major, minor: device.minor, rate };
  });
}

function bytes(option: string, text: string): number {
  const [, number = "", unit = "b"] = /^(\d+(?:\.\d+)?)([bkmgt])?b?$/i.exec(text) ?? [];
  if (number === "") throw refused(option, text, 'it is a number with b, k, m or g behind, such as "32m"');
  return Math.floor(Number(number) * (UNITS[unit.toLowerCase()] ?? 1));
}

/** 0, which is no limit, or a number within bounds. */
function numberBetween(option: string, text: string | undefined, least: number, most: number): number {
  const number = text === undefined ? 0 : wholeNumber(option, text);
  if (number === 0 || (number >= least && number <= most)) return number;
  const bounds = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`;
  throw refused(option, text ?? "", `it is ${bounds}`);
}

function wholeNumber(option: string, text: string): number {
  if (/^-?\d{1,9}$/.test(text)) return Number(text);
  throw refused(option, text, "it is not a whole number");
}

function refused(option: string, text: string, state: string): UsageError {
  return new UsageError("ERR_LIMIT", `Cannot use ${option} "${text}": ${state}`, { data: { option, value: text } });
}
