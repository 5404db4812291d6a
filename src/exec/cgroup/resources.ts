/** Limits of a container, as the OCI runtime spec has them (config-linux.md, "Control groups"), from docker's spellings. */

import { availableParallelism } from "node:os";
import { UsageError } from "../../errors.ts";

export interface Resources {
  readonly memory?: {
    readonly limit: number;
    /** Memory and swap together; -1: no limit. */
    readonly swap?: number;
  };
  readonly cpu?: {
    readonly shares?: number;
    /** Microseconds of every `period`. */
    readonly quota?: number;
    readonly period?: number;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit: number };
  /** What may be opened: nothing but a container's own devices, or everything. */
  readonly devices: readonly { readonly allow: boolean; readonly access: "rwm" }[];
}

/** As they were given. */
export interface LimitTexts {
  readonly memory?: string;
  readonly memorySwap?: string;
  readonly cpus?: string;
  readonly cpuShares?: string;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pidsLimit?: string;
}

/** Docker's: with less a container does not come up. */
const LEAST_MEMORY_BYTES = 6 * 2 ** 20;
const PERIOD_US = 100_000;
const LEAST_CPUS = 0.01;
const [LEAST_SHARES, MOST_SHARES] = [2, 262_144];
const UNITS: Readonly<Record<string, number>> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/**
 * The limits that are asked for, and devices unless `isPrivileged`; what docker refuses is refused.
 * @throws {UsageError} `ERR_LIMIT`
 */
export function parseResources(texts: LimitTexts, isPrivileged: boolean): Resources {
  const memory = memoryOf(texts);
  const cpu = cpuOf(texts);
  const pids = texts.pidsLimit === undefined ? 0 : wholeNumber("--pids-limit", texts.pidsLimit);
  return {
    ...(memory !== undefined && { memory }),
    ...(Object.keys(cpu).length > 0 && { cpu }),
    ...(pids > 0 && { pids: { limit: pids } }), // docker: 0 and -1 are no limit
    devices: [{ allow: isPrivileged, access: "rwm" }],
  };
}

function memoryOf({ memory, memorySwap }: LimitTexts): Resources["memory"] {
  const limit = memory === undefined ? 0 : bytes("--memory", memory);
  if (limit === 0) {
    if (memorySwap !== undefined && memorySwap !== "0") throw refused("--memory-swap", memorySwap, "it needs --memory");
    return undefined;
  }
  if (limit < LEAST_MEMORY_BYTES) throw refused("--memory", memory ?? "", "the least is 6m");
  if (memorySwap === undefined || memorySwap === "0") return { limit };
  if (memorySwap === "-1") return { limit, swap: -1 };
  const swap = bytes("--memory-swap", memorySwap);
  if (swap < limit) throw refused("--memory-swap", memorySwap, "it is memory and swap together: less than --memory");
  return { limit, swap };
}

function cpuOf({ cpus, cpuShares, cpusetCpus, cpusetMems }: LimitTexts): NonNullable<Resources["cpu"]> {
  const shares = cpuShares === undefined ? 0 : wholeNumber("--cpu-shares", cpuShares);
  if (shares !== 0 && (shares < LEAST_SHARES || shares > MOST_SHARES)) {
    throw refused("--cpu-shares", cpuShares ?? "", `it is from ${LEAST_SHARES} to ${MOST_SHARES}`);
  }
  for (const [option, text] of [
    ["--cpuset-cpus", cpusetCpus],
    ["--cpuset-mems", cpusetMems],
  ] as const) {
    if (text !== undefined && !/^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(text)) {
      throw refused(option, text, 'it is a list such as "0-2,4"');
    }
  }
  return {
    ...(shares !== 0 && { shares }),
    ...quotaOf(cpus),
    ...(cpusetCpus !== undefined && { cpus: cpusetCpus }),
    ...(cpusetMems !== undefined && { mems: cpusetMems }),
  };
}

function quotaOf(text: string | undefined): { readonly quota?: number; readonly period?: number } {
  if (text === undefined) return {};
  const most = availableParallelism();
  const cpus = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (cpus === 0) return {};
  if (!(cpus >= LEAST_CPUS && cpus <= most)) throw refused("--cpus", text, `it is from ${LEAST_CPUS} to ${most} here`);
  return { quota: Math.round(cpus * PERIOD_US), period: PERIOD_US };
}

function bytes(option: string, text: string): number {
  const [, number = "", unit = "b"] = /^(\d+(?:\.\d+)?)([bkmgt])?b?$/i.exec(text) ?? [];
  if (number === "") throw refused(option, text, 'it is a number with b, k, m or g behind, such as "32m"');
  return Math.floor(Number(number) * (UNITS[unit.toLowerCase()] ?? 1));
}

function wholeNumber(option: string, text: string): number {
  if (/^-?\d{1,9}$/.test(text)) return Number(text);
  throw refused(option, text, "it is not a whole number");
}

function refused(option: string, text: string, state: string): UsageError {
  return new UsageError("ERR_LIMIT", `Cannot use ${option} "${text}": ${state}`, { data: { option, value: text } });
}
