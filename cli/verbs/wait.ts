/** `layerctl wait NAME...`: until containers end. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { waitForContainer } from "../../layers/containers/lifecycle.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<name...>", "containers").addHelpText(
    "after",
    `
Prints the exit code of each, in the order in which they are named; that of one which has ended already at once.

Examples:
  $ layerctl wait web`,
  );
}

export async function run(context: Context, names: readonly string[]): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  const codes: { readonly name: string; readonly exitCode: number }[] = [];
  for (const name of names) codes.push({ name, exitCode: await waitForContainer(store, name, context.signal) });
  if (context.json) printDocument({ containers: codes });
  else printLines(codes.map(({ exitCode }) => String(exitCode)));
}
