/** `layerctl tag REF NEWREF`: another name for an image. */

import type { Command } from "commander";
import { resolveImage, tagImage } from "../../layers/images.ts";
import type { Context } from "../context.ts";
import { printDocument } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command
    .argument("<ref>", "an image: its name, its digest, or the first digits of that")
    .argument("<newref>", "another name for it, taken from the image that has it now")
    .addHelpText(
      "after",
      `
Prints nothing.

Examples:
  $ layerctl tag debian:12 registry.example.com/base:2026-11
  $ layerctl tag 3f2a9c debian:known-good`,
    );
}

export async function run(context: Context, reference: string, newReference: string): Promise<void> {
  using store = openStore(context);
  const image = resolveImage(store, reference);
  const name = await tagImage(store, image, newReference);
  if (context.json) printDocument({ reference: name, digest: image.digest });
}
