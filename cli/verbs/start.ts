/** `layerctl start NAME...`: containers that have ended run again, detached or attached. */

import type { Command } from "commander";
import type { Attachment } from "../../layers/containers/attach.ts";
import { repairContainers } from "../../layers/containers/containers.ts";
import { startDetached } from "../../layers/containers/detached.ts";
import { findContainer } from "../../layers/containers/held.ts";
import type { ContainerOptions } from "../../layers/containers/options.ts";
import type { Store } from "../../layers/store.ts";
import { UsageError } from "../../src/errors.ts";
import { getContainer } from "../../src/meta/containers.ts";
import type { Context } from "../context.ts";
import { detachKeysOption, parseDetachKeys } from "../detach-keys.ts";
import { eachContainer } from "../each-container.ts";
import { sigProxyOption } from "../sig-proxy.ts";
import { openStoreToRun } from "../store.ts";

interface Options {
  readonly attach?: boolean;
  readonly interactive?: boolean;
  readonly detachKeys: string;
  readonly sigProxy: boolean;
}

export function define(command: Command): void {
  command
    .argument("<name...>", "containers")
    .option("-a, --attach", "print what the container prints, and end as it does; of one container only")
    .option("-i, --interactive", "give standard input to its command too, if that was started with -i")
    .addOption(detachKeysOption())
    .addOption(sigProxyOption())
    .addHelpText(
      "after",
      `
Each runs its command again, on the changes that it left, with the options of its "layerctl run", as with -d. Prints the name
of each container that runs; with -a or -i nothing but the container's own output, and the exit code is its own.

Examples:
  $ layerctl start web
  $ layerctl start -a -i work`,
    );
}

export async function run(context: Context, names: readonly string[], options: Options): Promise<number> {
  const { attach = false, interactive = false } = options;
  const detachKeys = parseDetachKeys(options.detachKeys);
  using store = openStoreToRun(context);
  await repairContainers(store);
  if (!attach && !interactive) {
    await eachContainer(context, "started", names, async (name) => {
      await startDetached(store, name);
    });
    return 0;
  }
  const [name, another] = names;
  if (name === undefined || another !== undefined) {
    throw new UsageError("ERR_USAGE", "Cannot attach to several containers: name one, or leave -a and -i away");
  }
  const { attachBeforeStart, requireTerminal, stayAttached } = await import("../attached.ts");
  if (interactive) requireTerminal(name, hasTerminal(store, name));
  let attachment: Attachment | undefined;
  try {
    await startDetached(store, name, () => {
      attachment = attachBeforeStart(store, name);
    });
    if (attachment === undefined) throw new Error("the monitor did not wait for its client");
    return await stayAttached(context, store, attachment, {
      ...{ hasInput: interactive, endsInput: true, passesSignals: options.sigProxy },
      detachKeys,
    });
  } finally {
    attachment?.[Symbol.dispose]();
  }
}

function hasTerminal(store: Store, name: string): boolean {
  const { id } = findContainer(store, name);
  const { terminal, interactive } = JSON.parse(getContainer(store.db, id)?.options ?? "{}") as ContainerOptions;
  return terminal && interactive;
}
