/** `layerctl top NAME [OPTIONS]`: the processes of a container. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { topOf } from "../../layers/containers/top.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines, safeText, tableLines } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command
    .argument("<name>", "a container that runs")
    .argument("[options...]", "of ps, which have to show a column PID (default: -ef)")
    .passThroughOptions()
    .addHelpText(
      "after",
      `
Lists the processes of the container as ps(1) of this host shows them: by the ids that they have here.

Examples:
  $ layerctl top web
  $ layerctl top web -o pid,user,rss,args`,
    );
}

export async function run(context: Context, name: string, options: readonly string[]): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  const table = topOf(store, name, options);
  if (context.json) printDocument(table);
  else
    printLines(
      tableLines(
        table.titles,
        table.processes.map((row) => row.map(safeText)),
      ),
    );
}
