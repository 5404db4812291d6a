/** `layerctl ps`: containers and what has become of them. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { type ContainerEntry, listContainerEntries } from "../../layers/containers/list.ts";
import { isPaused } from "../../layers/containers/pause.ts";
import { familiar } from "../../layers/resolve-image.ts";
import { shortDigest } from "../../src/digest.ts";
import { formatHostEnd, formatPort } from "../../src/exec/network/ports.ts";
import type { Context } from "../context.ts";
import { formatTime, printDocument, printLines, safeText, tableLines } from "../output.ts";
import { openStoreIfAny } from "../store.ts";

interface Options {
  readonly all?: boolean;
}

export function define(command: Command): void {
  command.option("-a, --all", "also those that have ended").addHelpText(
    "after",
    `
A container is a snapshot that commands run in. One whose monitor was killed, or that the machine was switched off under, has
ended too; what was left of it is taken away first.

Examples:
  $ layerctl ps
  $ layerctl ps -a --json`,
  );
}

export async function run(context: Context, { all = false }: Options): Promise<void> {
  using store = openStoreIfAny(context);
  if (store !== null) await repairContainers(store);
  const entries = store === null ? [] : listContainerEntries(store).filter(({ row }) => all || row.state === "running");
  if (context.json) {
    printDocument({ containers: entries.map(documentOf) });
    return;
  }
  const rows = entries.map(({ snapshot, row, command, network }) => [
    snapshot.name,
    imageOf(snapshot),
    safeText(command.join(" ").slice(0, 40)),
    formatTime(snapshot.createdAtMs),
    statusOf(row),
    network.ports.map((port) => `${formatHostEnd(port)}->${formatPort(port)}`).join(", "),
  ]);
  printLines(tableLines(["NAME", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS"], rows));
}

function documentOf({ snapshot, row, command, network }: ContainerEntry): object {
  return {
    name: snapshot.name,
    image: snapshot.image,
    reference: snapshot.reference,
    command,
    state: stateOf(row),
    pid: row.init,
    exitCode: row.exitCode,
    oomKilled: row.oomKilled,
    created: timeOf(snapshot.createdAtMs),
    started: timeOf(row.startedAtMs),
    finished: timeOf(row.finishedAtMs),
    network,
  };
}

function timeOf(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(timeMs).toISOString();
}

function imageOf({ reference, image }: ContainerEntry["snapshot"]): string {
  if (reference !== null) return familiar(reference);
  return image === null ? "" : shortDigest(image);
}

function stateOf(row: ContainerEntry["row"]): string {
  return row.state === "running" && isPaused(row) ? "paused" : row.state;
}

function statusOf(row: ContainerEntry["row"]): string {
  if (row.state !== "exited") return stateOf(row);
  if (row.exitCode === null) return "lost";
  return `exited (${row.exitCode})${row.oomKilled ? ", out of memory" : ""}`;
}
