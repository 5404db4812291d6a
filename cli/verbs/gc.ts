/** `layerctl gc`: what nothing needs goes. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { collectGarbage, NOTHING_FREED } from "../../layers/gc.ts";
import type { Context } from "../context.ts";
import { formatSize, printDocument, printLines } from "../output.ts";
import { openStoreIfAny } from "../store.ts";

export function define(command: Command): void {
  command.option("--dry-run", "only show what would go").addHelpText(
    "after",
    `
Removes layers and blobs that no image or snapshot reaches, files without a record, and what dead processes left. Images
without a name stay: remove them with "layerctl rmi". Waits until no import is running. Prints a line for each piece that
goes, and what is freed: the same bytes of data that "layerctl du" calls reclaimable.

Examples:
  $ layerctl gc --dry-run
  $ layerctl gc`,
  );
}

export async function run(context: Context, { dryRun = false }: { readonly dryRun?: boolean }): Promise<void> {
  using store = openStoreIfAny(context);
  const options = { dryRun, signal: context.signal, onWait: () => context.sayWaiting() };
  if (store !== null && !dryRun) await repairContainers(store);
  const { removed, freedBytes } = store === null ? NOTHING_FREED : await collectGarbage(store, options);
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
