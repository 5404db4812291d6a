/** The measurements as markdown tables: medians, and how many times the limit they are. */

import type { Contender } from "./contender.ts";
import type { Measured } from "./measure.ts";
import type { ServerUsage } from "./server-usage.ts";

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
  const hasServers = rows.some((row) => row.contender.serves !== undefined);
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
      ...(hasServers ? serverCells(runs) : []),
      rounded(times, 2),
      targetOf(contender, wall, times),
    ];
  });
  const head = [
    "variant",
    "wall s (median)",
    "min–max",
    "cpu s",
    "peak MiB",
    ...(hasServers ? SERVER_HEAD : []),
    "× limit",
    "target",
  ];
  const cells = [head, head.map((_, at) => (at === 0 ? "---" : "--:")), ...lines];
  return `### ${name}\n\n${cells.map((line) => `| ${line.join(" | ")} |`).join("\n")}\n`;
}

const SERVER_HEAD = ["server cpu s", "server peak MiB"];

function serverCells(runs: readonly Measured[]): readonly string[] {
  const of = (pick: (server: ServerUsage) => number): number =>
    median(runs.map(({ server }) => (server === undefined ? Number.NaN : pick(server))));
  return [
    seconds(of((server) => server.cpuSeconds)),
    rounded(
      of((server) => server.peakMiB),
      0,
    ),
  ];
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
