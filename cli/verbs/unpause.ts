/** `layerctl unpause NAME...`: they go on. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { unpauseContainer } from "../../layers/containers/pause.ts";
import type { Context } from "../context.ts";
import { eachContainer } from "../each-container.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<name...>", "containers").addHelpText(
    "after",
    `
Lets what runs in paused containers go on. Prints the name of each container.

Examples:
  $ layerctl unpause web`,
  );
}

export async function run(context: Context, names: readonly string[]): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  await eachContainer(context, "unpaused", names, async (name) => unpauseContainer(store, name));
}
