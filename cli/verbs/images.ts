/** `layerctl images`: what is in the store. */

import type { Command } from "commander";
import { listImages } from "../../layers/images.ts";
import { formatPlatform } from "../../layers/oci/platform.ts";
import { familiar } from "../../layers/resolve-image.ts";
import { shortDigest } from "../../src/digest.ts";
import type { Context } from "../context.ts";
import { imageDocument, layerBytes } from "../documents.ts";
import { formatSize, formatTime, printDocument, printLines, safeText, tableLines } from "../output.ts";
import { openStoreIfAny } from "../store.ts";

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
SIZE is what the layers take as blobs, compressed; "layerctl du" tells what is shared and what is unpacked. ADDED is when
the image came into the store, in UTC.

Examples:
  $ layerctl images
  $ layerctl images --json`,
  );
}

export function run(context: Context): void {
  using store = openStoreIfAny(context);
  const images = store === null ? [] : listImages(store);
  if (context.json) {
    printDocument({ images: images.map(imageDocument) });
    return;
  }
  const rows = images.flatMap((image) => {
    const names = image.references.length === 0 ? ["<none>"] : image.references.map(familiar);
    const { digest, platform, layers, createdAtMs } = image;
    const size = formatSize(layerBytes(image));
    const shownPlatform = safeText(formatPlatform(platform));
    const rest = [shortDigest(digest), shownPlatform, String(layers.length), size, formatTime(createdAtMs)];
    return names.map((name) => [name, ...rest]);
  });
  const align = ["left", "left", "left", "right", "right"] as const;
  printLines(tableLines(["REFERENCE", "DIGEST", "PLATFORM", "LAYERS", "SIZE", "ADDED"], rows, align));
}
