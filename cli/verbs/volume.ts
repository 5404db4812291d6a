/** `layerctl volume ls|create|rm`: volumes with names. */

import { Argument, type Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { createVolume, listVolumes, removeVolume } from "../../layers/containers/volumes.ts";
import { assertNever, UsageError } from "../../src/errors.ts";
import type { Context } from "../context.ts";
import { eachContainer } from "../each-container.ts";
import { pathFields, printDocument, printLines, tableLines } from "../output.ts";
import { openStore } from "../store.ts";

type Action = "ls" | "create" | "rm";

export function define(command: Command): void {
  command
    .addArgument(new Argument("<action>", "what to do").choices(["ls", "create", "rm"]))
    .argument("[volume...]", "names, for create and rm")
    .addHelpText(
      "after",
      `
A volume is a directory of the store that outlives the containers which have it. "layerctl run -v NAME:DST" makes one that is
not there, with what the image has at DST. One that a container has, running or not, is not removed.

Examples:
  $ layerctl volume ls
  $ layerctl volume create data
  $ layerctl volume rm data`,
    );
}

export async function run(context: Context, action: Action, names: readonly string[]): Promise<void> {
  const takesNames = action !== "ls";
  if (takesNames !== names.length > 0) {
    const state = takesNames ? "name at least one" : "it takes no names";
    throw new UsageError("ERR_USAGE", `Cannot run "volume ${action}": ${state}`);
  }
  using store = openStore(context);
  await repairContainers(store);
  switch (action) {
    case "ls": {
      const volumes = listVolumes(store);
      if (context.json) {
        const documents = volumes.map(({ name, path, containers }) => ({
          name,
          ...pathFields("path", path),
          containers,
        }));
        printDocument({ volumes: documents });
      } else
        printLines(
          tableLines(
            ["NAME", "CONTAINERS"],
            volumes.map(({ name, containers }) => [name, containers.join(", ")]),
          ),
        );
      return;
    }
    case "create":
      return await eachContainer(context, "created", names, (name) => createVolume(store, name));
    case "rm":
      return await eachContainer(context, "removed", names, (name) => removeVolume(store, name));
    default:
      assertNever(action);
  }
}
