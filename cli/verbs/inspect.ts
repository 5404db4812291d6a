/** `layerctl inspect REF|NAME`: everything about an image or a snapshot, as JSON. */

import type { Command } from "commander";
import { type Image, imageOfRow } from "../../layers/image.ts";
import { listMounts } from "../../layers/mounts.ts";
import { findImageAmongOthers } from "../../layers/resolve-image.ts";
import type { Store } from "../../layers/store.ts";
import type { Context } from "../context.ts";
import { imageDocument, layerDocument, snapshotDocument } from "../documents.ts";
import { pathFields, printDocument } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command.argument("<ref|name>", "an image, or a snapshot: a snapshot of this name comes first").addHelpText(
    "after",
    `
Prints JSON, with and without --json.

Examples:
  $ layerctl inspect debian:12
  $ layerctl inspect work | jq -r .target`,
  );
}

export function run(context: Context, name: string): void {
  using store = openStore(context);
  const mounted = listMounts(store).find(({ snapshot }) => snapshot.name === name);
  if (mounted === undefined) {
    printDocument(wholeImage(store, imageOfRow(store, findImageAmongOthers(store, name).row)));
    return;
  }
  const { snapshot } = mounted;
  const { upperdir, workdir, parent } = snapshot;
  const directories = {
    ...(upperdir === null ? { upperdir } : pathFields("upperdir", upperdir)),
    ...(workdir === null ? { workdir } : pathFields("workdir", workdir)),
  };
  printDocument({ type: "snapshot", ...snapshotDocument(mounted), ...directories, parent });
}

function wholeImage(store: Store, image: Image): object {
  const { mediaType, manifest, config } = image;
  const layers = image.layers.map((layer) => layerDocument(store, layer));
  return { type: "image", ...imageDocument(image), mediaType, layers, manifest, config };
}
