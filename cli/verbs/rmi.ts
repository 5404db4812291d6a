/** `layerctl rmi REF...`: images out of the store. */

import type { Command } from "commander";
import { untagImages } from "../../layers/images.ts";
import { familiar } from "../../layers/resolve-image.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<ref...>", "names to take away; a digest stands for all names of its image").addHelpText(
    "after",
    `
Prints "untagged REF" for each name that went, and "deleted DIGEST" for each image that went with its last name. An image
that a snapshot is made from stays, with exit code 4. All arguments are done, or none.

Examples:
  $ layerctl rmi debian:mine
  $ layerctl rmi 3f2a9c 77b01d`,
  );
}

export async function run(context: Context, references: readonly string[]): Promise<void> {
  using store = openStore(context);
  const results = await untagImages(store, references);
  const untagged = results.flatMap((result) => result.untagged);
  const deleted = [...new Set(results.filter((result) => result.deleted).map((result) => result.digest))];
  if (context.json) printDocument({ untagged, deleted });
  else
    printLines([
      ...untagged.map((name) => `untagged ${familiar(name)}`),
      ...deleted.map((digest) => `deleted ${digest}`),
    ]);
}
