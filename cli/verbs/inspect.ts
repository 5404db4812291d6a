/** `layerctl inspect REF|NAME`: everything about an image, a snapshot or a container, as JSON. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import { describeContainer } from "../../layers/containers/inspect.ts";
import { type Image, imageOfRow } from "../../layers/image.ts";
import { listMounts } from "../../layers/mounts.ts";
import { findImageAmongOthers } from "../../layers/resolve-image.ts";
import type { Store } from "../../layers/store.ts";
import type { Context } from "../context.ts";
import { imageDocument, layerDocument, snapshotDocument } from "../documents.ts";
import { pathFields, printDocument } from "../output.ts";
import { openStore } from "../store.ts";

export function define(command: Command): void {
  command
    .argument("<ref|name>", "an image, a snapshot or a container: those come before an image of this name")
    .addHelpText(
      "after",
      `
Prints JSON, with and without --json.

Examples:
  $ layerctl inspect debian:12
  $ layerctl inspect work | jq -r .target
  $ layerctl inspect web | jq .state`,
    );
}

export async function run(context: Context, name: string): Promise<void> {
  using store = openStore(context);
  await repairContainers(store);
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
  const container = describeContainer(store, snapshot);
  const type = container === null ? "snapshot" : "container";
  printDocument({ type, ...snapshotDocument(mounted), ...directories, parent, ...container });
}

function wholeImage(store: Store, image: Image): object {
  const { mediaType, manifest, config } = image;
  const layers = image.layers.map((layer) => layerDocument(store, layer));
  return { type: "image", ...imageDocument(image), mediaType, layers, manifest, config };
}
