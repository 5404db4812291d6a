/** `layerctl images`: what is in the store. */

import type { Command } from "commander";
import { listImages } from "../../layers/images.ts";
import { familiarName } from "../../layers/oci/reference.ts";
import { formatPlatform } from "../../layers/oci/platform.ts";
import { Store } from "../../layers/store.ts";
import { shortDigest } from "../../src/digest.ts";
import type { Context } from "../context.ts";
import { imageDocument, sizeOf } from "../documents.ts";
import { formatSize, formatTime, printDocument, printLines, tableLines } from "../output.ts";

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
SIZE is what the image's blobs take, compressed; "layerctl du" tells what is shared and unpacked.

Examples:
  $ layerctl images
  $ layerctl images --json`,
  );
}

export function run(context: Context): void {
  using store = Store.open(context.root, { logger: context.logger });
  const images = listImages(store);
  if (context.json) {
    printDocument({ images: images.map(imageDocument) });
    return;
  }
  const rows = images.flatMap((image) => {
    const rest = [
      shortDigest(image.digest),
      formatPlatform(image.platform),
      String(image.layers.length),
      formatSize(sizeOf(image)),
      formatTime(image.createdAtMs),
    ];
    return names(image.references).map((name) => [name, ...rest]);
  });
  const align = ["left", "left", "left", "right", "right"] as const;
  printLines(tableLines(["REFERENCE", "DIGEST", "PLATFORM", "LAYERS", "SIZE", "ADDED"], rows, align));
}

function names(references: readonly string[]): readonly string[] {
  return references.length === 0 ? ["<none>"] : references.map(familiarName);
}
