/** `layerctl layers REF`: the layers of an image. */

import type { Command } from "commander";
import { resolveImage } from "../../layers/images.ts";
import { shortDigest } from "../../src/digest.ts";
import { getLayer } from "../../src/meta/layers.ts";
import type { Context } from "../context.ts";
import { layerDocument } from "../documents.ts";
import { formatSize, printDocument, printLines, tableLines } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<ref>", "an image: its name, its digest, or the first digits of that").addHelpText(
    "after",
    `
The base layer comes first. BLOB is the size of the layer as it came or was committed, UNPACKED that of its files in the
store: "-" before the image is first mounted.

Examples:
  $ layerctl layers debian:12
  $ layerctl layers debian:12 --json`,
  );
}

export function run(context: Context, reference: string): void {
  using store = openStore(context);
  const image = resolveImage(store, reference);
  if (context.json) {
    printDocument({ digest: image.digest, layers: image.layers.map((layer) => layerDocument(store, layer)) });
    return;
  }
  const rows = image.layers.map(({ diffId, chainId, descriptor }) => {
    const row = getLayer(store.db, chainId);
    return [
      shortDigest(diffId),
      shortDigest(chainId),
      shortDigest(descriptor.digest),
      formatSize(descriptor.size),
      row === null ? "-" : formatSize(row.sizeBytes),
      row === null ? "-" : String(row.inodes),
    ];
  });
  const align = ["left", "left", "left", "right", "right", "right"] as const;
  printLines(tableLines(["DIFFID", "CHAINID", "DIGEST", "BLOB", "UNPACKED", "FILES"], rows, align));
}
