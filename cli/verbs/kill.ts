/** `layerctl kill NAME...`: a signal to the first process of containers. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { killContainer, parseSignal } from "../../layers/containers/lifecycle.ts";
import type { Context } from "../context.ts";
import { eachContainer } from "../each-container.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly signal: string;
}

export function define(command: Command): void {
  command
    .argument("<name...>", "containers")
    .option("-s, --signal <signal>", "its name or number", "KILL")
    .addHelpText(
      "after",
      `
Does not wait for what comes of it. Prints the name of each container.

Examples:
  $ layerctl kill web
  $ layerctl kill -s HUP web`,
    );
}

export async function run(context: Context, names: readonly string[], { signal }: Options): Promise<void> {
  const number = parseSignal(signal);
  using store = openStore(context);
  await repairContainers(store);
  await eachContainer(context, "signalled", names, async (name) => killContainer(store, name, number));
}
