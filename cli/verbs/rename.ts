/** `layerctl rename NAME NEW`: another name for a container or snapshot. */

import type { Command } from "commander";
import { tellNames } from "../../layers/containers/bridge-network.ts";
import { repairContainers } from "../../layers/containers/containers.ts";
import { renameSnapshot } from "../../layers/snapshots/snapshots.ts";
import type { Context } from "../context.ts";
import { printDocument } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command
    .argument("<name>", "a container or snapshot")
    .argument("<newname>", "its name from now on")
    .addHelpText(
      "after",
      `
A container may run. What it calls itself stays; "container:NAME" in the options of others means the one that has the name when
they start.

Examples:
  $ layerctl rename web web-old`,
    );
}

export async function run(context: Context, name: string, newName: string): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  renameSnapshot(store, name, newName);
  await tellNames(store, newName);
  if (context.json) printDocument({ name: newName });
}
