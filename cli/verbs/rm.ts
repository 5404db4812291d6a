/** `layerctl rm NAME...`: snapshots and containers, with their changes, out of the store. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { removeNamed } from "../../layers/containers/lifecycle.ts";
import type { Context } from "../context.ts";
import { eachContainer } from "../each-container.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command
    .argument("<name...>", "snapshots or containers")
    .option("-f, --force", "kill a container that is running first")
    .addHelpText(
      "after",
      `
What was changed in them is lost; what was committed stays in its image. A snapshot that is mounted stays, with exit code
4: unmount it first; so does a container that is running. Prints the name of each that was removed.

Examples:
  $ layerctl rm work
  $ layerctl rm build-1 build-2
  $ layerctl rm -f web`,
    );
}

interface Options {
  readonly force?: boolean;
}

export async function run(context: Context, names: readonly string[], { force = false }: Options): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  await eachContainer(context, "removed", names, (name) => removeNamed(store, name, force, context.signal));
}
