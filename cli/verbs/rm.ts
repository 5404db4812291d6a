/** `layerctl rm NAME...`: snapshots and their changes out of the store. */

import type { Command } from "commander";
import { removeSnapshot } from "../../layers/snapshots/snapshots.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<name...>", "snapshots").addHelpText(
    "after",
    `
What was changed in them is lost; what was committed stays in its image. A snapshot that is mounted stays, with exit code
4: unmount it first. Prints the name of each snapshot that was removed.

Examples:
  $ layerctl rm work
  $ layerctl rm build-1 build-2`,
  );
}

export async function run(context: Context, names: readonly string[]): Promise<void> {
  using store = openStore(context);
  const removed: string[] = [];
  try {
    for (const name of names) {
      await removeSnapshot(store, name, { signal: context.signal });
      removed.push(name);
    }
  } finally {
    if (context.json) printDocument({ removed });
    else printLines(removed);
  }
}
