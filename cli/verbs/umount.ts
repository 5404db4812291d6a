/** `layerctl umount NAME|TARGET`: the mount goes, the changes stay. */

import type { Command } from "commander";
import { refuseRunning } from "../../layers/containers/mounted.ts";
import { unmount } from "../../layers/unmount.ts";
import type { Context } from "../context.ts";
import { pathFields, printDocument } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<name|target>", "a snapshot, or the directory where it is mounted").addHelpText(
    "after",
    `
Prints nothing. A container that runs stays mounted. A mount that is in use stays, with exit code 4 and the processes that use it; so does one that another
mount lies over, or parts of which are bound elsewhere: unmount those first.

Examples:
  $ layerctl umount work
  $ layerctl umount /mnt`,
  );
}

export async function run(context: Context, nameOrTarget: string): Promise<void> {
  using store = openStore(context);
  refuseRunning(store, nameOrTarget);
  const { name, targets } = await unmount(store, nameOrTarget, { signal: context.signal });
  if (context.json) printDocument({ name, targets: targets.map((target) => pathFields("target", target)) });
}
