/** `layerctl inspect REF|NAME`: everything about an image or a snapshot, as JSON. */

import type { Command } from "commander";
import type { Image } from "../../layers/image.ts";
import { resolveImage } from "../../layers/images.ts";
import { listMounts } from "../../layers/mounts.ts";
import type { Snapshot } from "../../layers/snapshots/snapshots.ts";
import { Store } from "../../layers/store.ts";
import { getSnapshotRow } from "../../src/meta/snapshots.ts";
import type { Context } from "../context.ts";
import { imageDocument, layerDocument, snapshotDocument } from "../documents.ts";
import { printDocument } from "../output.ts";

export function define(command: Command): void {
  command.argument("<ref|name>", "an image, or a snapshot; a snapshot of this name comes first").addHelpText(
    "after",
    `
Prints JSON, with and without --json.

Examples:
  $ layerctl inspect debian:12
  $ layerctl inspect work | jq -r .target`,
  );
}
