/** `layerctl start NAME...`: containers that have ended run again, detached. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { startDetached } from "../../layers/containers/detached.ts";
import type { Context } from "../context.ts";
import { eachContainer } from "../each-container.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<name...>", "containers").addHelpText(
    "after",
    `
Each runs its command again, on the changes that it left, with the options of its "layerctl run", as with -d. Prints the name
of each container that runs.

Examples:
  $ layerctl start web`,
  );
}

export async function run(context: Context, names: readonly string[]): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  await eachContainer(context, "started", names, async (name) => {
    await startDetached(store, name);
  });
}
