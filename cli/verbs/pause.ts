/** `layerctl pause NAME...`: what runs in them stands still. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { pauseContainer } from "../../layers/containers/pause.ts";
import type { Context } from "../context.ts";
import { eachContainer } from "../each-container.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<name...>", "containers").addHelpText(
    "after",
    `
Stops everything that runs in the containers, at once and without its knowing, with the freezer of their control groups:
its memory and its connections stay. "layerctl unpause" lets it go on; so does what ends it, "layerctl stop" and
"layerctl kill". Prints the name of each container.

Examples:
  $ layerctl pause web`,
  );
}

export async function run(context: Context, names: readonly string[]): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  await eachContainer(context, "paused", names, async (name) => pauseContainer(store, name));
}
