/** `layerctl history REF`: how an image came to be. */

import type { Command } from "commander";
import { imageHistory, resolveImage } from "../../layers/images.ts";
import { shortDigest } from "../../src/digest.ts";
import type { Context } from "../context.ts";
import { formatSize, formatTime, printDocument, printLines, safeText, tableLines } from "../output.ts";
import { openStore } from "../store.ts";

/** The most characters of a command in the table. */
const COMMAND_WIDTH = 60;

export function define(command: Command): void {
  command
    .argument("<ref>", "an image: its name, its digest, or the first digits of that")
    .option("--no-trunc", "show commands in full")
    .addHelpText(
      "after",
      `
The newest step comes first. A step without a layer changed only the configuration.

Examples:
  $ layerctl history debian:12
  $ layerctl history debian:12 --no-trunc`,
    );
}

export function run(context: Context, reference: string, options: { readonly trunc: boolean }): void {
  using store = openStore(context);
  const image = resolveImage(store, reference);
  const steps = imageHistory(image).toReversed();
  if (context.json) {
    const history = steps.map(({ entry, layer }) => ({
      created: entry.created ?? null,
      createdBy: entry.created_by ?? "",
      author: entry.author ?? "",
      comment: entry.comment ?? "",
      layer:
        layer === null
          ? null
          : { diffId: layer.diffId, digest: layer.descriptor.digest, blobBytes: layer.descriptor.size },
    }));
    printDocument({ digest: image.digest, history });
    return;
  }
  const rows = steps.map(({ entry, layer }) => [
    layer === null ? "-" : shortDigest(layer.diffId),
    timeOf(entry.created),
    layer === null ? "-" : formatSize(layer.descriptor.size),
    shortened(entry.created_by ?? "", options.trunc),
    shortened(entry.comment ?? "", options.trunc),
  ]);
  const align = ["left", "left", "right"] as const;
  printLines(tableLines(["LAYER", "CREATED", "SIZE", "CREATED BY", "COMMENT"], rows, align));
}

/** In UTC, as all times in tables, whatever zone the image was made in; what is no time is shown as it is. */
function timeOf(created: string | null | undefined): string {
  if (created === undefined || created === null) return "-";
  const timeMs = Date.parse(created);
  return Number.isNaN(timeMs) ? safeText(created) : formatTime(timeMs);
}

/** Text of an image, harmless to a terminal. */
function shortened(text: string, isCut: boolean): string {
  const shown = safeText(text.replace(/\s+/g, " "));
  return isCut && shown.length > COMMAND_WIDTH ? `${[...shown].slice(0, COMMAND_WIDTH - 1).join("")}…` : shown;
}
