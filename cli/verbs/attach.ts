/** `layerctl attach NAME`: standard input and output joined with a container's. */

import type { Command } from "commander";
import { attachContainer } from "../../layers/containers/attach.ts";
import { repairContainers } from "../../layers/containers/containers.ts";
import { stayAttached } from "../attached.ts";
import type { Context } from "../context.ts";
import { detachKeysOption, parseDetachKeys } from "../detach-keys.ts";
import { sigProxyOption } from "../sig-proxy.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly detachKeys: string;
  readonly sigProxy: boolean;
  readonly stdin: boolean;
}

export function define(command: Command): void {
  command
    .argument("<name>", "a container that runs, and was started with -d, -it or by start")
    .addOption(detachKeysOption())
    .option("--no-stdin", "leave standard input away")
    .addOption(sigProxyOption())
    .addHelpText(
      "after",
      `
Prints what the container prints from now on; "layerctl logs" has what came before. Standard input goes to its command if
that was started with -i, and its terminal gets the size of yours. What the command writes to standard error comes on standard
output too. The detach keys leave the container running, with exit code 0; else the exit code is the container's.

Examples:
  $ layerctl attach work
  $ layerctl attach --detach-keys ctrl-x work
  $ layerctl attach --no-stdin --sig-proxy=false web`,
    );
}

export async function run(context: Context, name: string, options: Options): Promise<number> {
  const detachKeys = parseDetachKeys(options.detachKeys);
  using store = openStore(context);
  await repairContainers(store);
  using attachment = await attachContainer(store, name);
  return await stayAttached(context, store, attachment, {
    ...{ hasInput: options.stdin, endsInput: false, passesSignals: options.sigProxy },
    detachKeys,
  });
}
