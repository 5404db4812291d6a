/** `layerctl stop NAME...`: ends containers, first in a friendly way. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { stopContainer } from "../../layers/containers/lifecycle.ts";
import { UsageError } from "../../src/errors.ts";
import type { Context } from "../context.ts";
import { eachContainer } from "../each-container.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly time: string;
}

const MS = 1_000;

export function define(command: Command): void {
  command
    .argument("<name...>", "containers")
    .option("-t, --time <seconds>", "how long the command may take to end before it is killed", "10")
    .addHelpText(
      "after",
      `
Sends the stop signal of the image, which is SIGTERM unless it says another, and SIGKILL to what is still there after the
time. A container that has ended is fine. Prints the name of each container that has ended.

Examples:
  $ layerctl stop web
  $ layerctl stop -t 1 web db`,
    );
}

export async function run(context: Context, names: readonly string[], { time }: Options): Promise<void> {
  if (!/^\d{1,6}$/.test(time)) {
    throw new UsageError("ERR_TIME", `Cannot wait "${time}" seconds: it is not a whole number`);
  }
  using store = openStore(context);
  await repairContainers(store);
  await eachContainer(context, "stopped", names, (name) =>
    stopContainer(store, name, Number(time) * MS, context.signal),
  );
}
