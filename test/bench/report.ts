/** The measurements as markdown tables: medians, and how many times the limit they are. */

import type { Contender } from "./contender.ts";
import type { Measured } from "./measure.ts";

export interface Row {
  readonly contender: Contender;
  readonly runs: readonly Measured[];
}

/** One table for each name of a table, in the order of the rows. */
export function report(rows: readonly Row[]): string {
  const tables = Map.groupBy(rows, (row) => row.contender.table);
  return [...tables].map(([name, members]) => tableOf(name, members)).join("\n");
}

function tableOf(name: string, rows: readonly Row[]): string {
  const limit = rows.find((row) => row.contender.isLimit);
  const lines = rows.map(({ contender, runs }) => {
    const walls = runs.map((run) => run.wallSeconds);
    const wall = median(walls);
    const times = limit === undefined ? Number.NaN : wall / median(limit.runs.map((run) => run.wallSeconds));
    return [
      contender.label,
      seconds(wall),
      `${seconds(Math.min(...walls))}–${seconds(Math.max(...walls))}`,
      seconds(median(runs.map((run) => run.cpuSeconds))),
      rounded(median(runs.map((run) => run.peakMiB)), 0),
      rounded(times, 2),
      targetOf(contender, wall, times),
    ];
  });
  const head = ["variant", "wall s (median)", "min–max", "cpu s", "peak MiB", "× limit", "target"];
  const cells = [head, head.map((_, at) => (at === 0 ? "---" : "--:")), ...lines];
  return `### ${name}\n\n${cells.map((line) => `| ${line.join(" | ")} |`).join("\n")}\n`;
}

function targetOf({ target }: Contender, wall: number, times: number): string {
  if (target === undefined) return "";
  if ("seconds" in target) return `≤ ${target.seconds} s: ${wall <= target.seconds ? "met" : "missed"}`;
  return `≤ ${target.timesLimit}×: ${times <= target.timesLimit ? "met" : "missed"}`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

const seconds = (value: number): string => rounded(value, value < 10 ? 3 : 1);
const rounded = (value: number, digits: number): string => (Number.isFinite(value) ? value.toFixed(digits) : "–");
