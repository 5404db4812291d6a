/** `layerctl gc`: what nothing needs goes. */

import type { Command } from "commander";
import { collectGarbage } from "../../layers/gc.ts";
import { Store } from "../../layers/store.ts";
import type { Context } from "../context.ts";
import { formatSize, printDocument, printLines } from "../output.ts";

export function define(command: Command): void {
  command.option("--dry-run", "only show what would go").addHelpText(
    "after",
    `
Removes layers and blobs that no image or snapshot reaches, files without a record, and what dead processes left. Images
without a name stay: remove them with "layerctl rmi". Waits until no import is running. Prints a line for each piece that
goes, and what is freed.

Examples:
  $ layerctl gc --dry-run
  $ layerctl gc`,
  );
}

export async function run(context: Context, { dryRun = false }: { readonly dryRun?: boolean }): Promise<void> {
  using store = Store.open(context.root, { logger: context.logger });
  const { removed, freedBytes } = await collectGarbage(store, {
    dryRun,
    signal: context.signal,
    onWait: () => context.say("layerctl: waiting for the end of an import or commit"),
  });
  if (context.json) {
    printDocument({
      dryRun,
      removed: removed.map(({ kind, name, sizeBytes }) => ({ kind, name, bytes: sizeBytes })),
      freedBytes,
    });
    return;
  }
  const verb = dryRun ? "would remove" : "removed";
  printLines([
    ...removed.map(({ kind, name, sizeBytes }) => `${verb} ${kind} ${name} (${formatSize(sizeBytes)})`),
    `${dryRun ? "would free" : "freed"} ${formatSize(freedBytes)}`,
  ]);
}
