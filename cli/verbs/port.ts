/** `layerctl port NAME [PORT]`: where a container's ports are on this host. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { findPorts } from "../../layers/containers/network-state.ts";
import { formatHostEnd, formatPort } from "../../src/exec/network/ports.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command
    .argument("<name>", "a container")
    .argument("[port]", "one of its ports, such as 80 or 53/udp (default: all that are published)")
    .addHelpText(
      "after",
      `
A container that does not run has none. 0.0.0.0 is every address of this host, those of IPv6 too.

Examples:
  $ layerctl port web
  $ layerctl port web 80`,
    );
}

export async function run(context: Context, name: string, port?: string): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
  const ports = findPorts(store, name, port);
  if (context.json) printDocument({ ports });
  else {
    const isOne = port !== undefined;
    printLines(ports.map((each) => (isOne ? formatHostEnd(each) : `${formatPort(each)} -> ${formatHostEnd(each)}`)));
  }
}
