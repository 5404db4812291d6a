/** `layerctl stats [NAME...]`: what containers use. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { type ContainerStatistics, watchContainers } from "../../layers/containers/statistics.ts";
import { isTerminal } from "../../src/sys/terminal.ts";
import type { Context } from "../context.ts";
import { formatSize, printDocument, printLines, STDOUT, tableLines, write } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly all?: boolean;
  readonly stream: boolean;
}

export function define(command: Command): void {
  command
    .argument("[name...]", "containers (default: those that run)")
    .option("-a, --all", "also those that do not run")
    .option("--no-stream", "once, instead of every second until it is interrupted")
    .addHelpText(
      "after",
      `
Processor time is of the last second, and 100 % is one processor. Memory is without the part of the page cache that was not
used lately. "--" is what does not run, or what this host does not count. With --json it is shown once.

Examples:
  $ layerctl stats
  $ layerctl stats --no-stream web db`,
    );
}

/** Cursor to the upper left corner, and nothing behind it (console_codes(4)). */
const CLEAR = "\u001b[H\u001b[J";

export async function run(context: Context, names: readonly string[], { all = false, stream }: Options): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  const isOnScreen = stream && isTerminal(STDOUT);
  for await (const containers of watchContainers(store, { names, all }, context.signal)) {
    if (context.json) {
      printDocument({ containers: containers.map(documentOf) });
      return;
    }
    if (isOnScreen) write(STDOUT, CLEAR);
    printLines(tableLines(HEADINGS, containers.map(rowOf), ALIGN));
    if (!stream) return;
  }
}

const HEADINGS = ["NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];
const ALIGN = ["left", "right", "right", "right", "right", "right", "right"] as const;

function rowOf({ name, cpuPercent, group, memoryLimitBytes, network }: ContainerStatistics): readonly string[] {
  const memory = group?.memoryBytes ?? null;
  return [
    name,
    percent(cpuPercent),
    memory === null ? "--" : `${formatSize(memory)} / ${formatSize(memoryLimitBytes)}`,
    percent(memory === null ? null : (100 * memory) / memoryLimitBytes),
    both(network?.receivedBytes, network?.sentBytes),
    both(group?.readBytes, group?.writtenBytes),
    String(group?.pids ?? "--"),
  ];
}

function percent(value: number | null): string {
  return value === null ? "--" : `${value.toFixed(2)}%`;
}

function both(first: number | null | undefined, second: number | null | undefined): string {
  return first == null || second == null ? "--" : `${formatSize(first)} / ${formatSize(second)}`;
}

function documentOf({ name, cpuPercent, group, memoryLimitBytes, network }: ContainerStatistics): object {
  return {
    name,
    cpuPercent,
    cpuNs: group?.cpuNs ?? null,
    memoryBytes: group?.memoryBytes ?? null,
    memoryLimitBytes: group === null ? null : memoryLimitBytes,
    receivedBytes: network?.receivedBytes ?? null,
    sentBytes: network?.sentBytes ?? null,
    readBytes: group?.readBytes ?? null,
    writtenBytes: group?.writtenBytes ?? null,
    pids: group?.pids ?? null,
  };
}
