/** `layerctl export REF|NAME -o FILE`: a merged tree as one tar. */

import type { Command } from "commander";
import { exportTree } from "../../layers/commit/export.ts";
import { findSubject, treeOf } from "../../layers/diff/subject.ts";
import { sourceDateNs } from "../../layers/source-date.ts";
import type { Context } from "../context.ts";
import { jsonBesideStream, printDocument } from "../output.ts";
import { openStore } from "../store.ts";
import { TarOutput } from "../tar-output.ts";

export function define(command: Command): void {
  command
    .argument("<ref|name>", "a snapshot, with its changes, or an image: a snapshot of this name comes first")
    .requiredOption("-o, --output <file>", 'where to, or "-" for standard output')
    .addHelpText(
      "after",
      `
The tar has what the mounted tree shows, without whiteouts; the same tree gives the same bytes. "layerctl import --rootfs"
makes an image of it. Prints nothing.

Examples:
  $ layerctl export debian:mine -o tree.tar
  $ layerctl export work -o - | tar -t`,
    );
}

export async function run(context: Context, name: string, options: { readonly output: string }): Promise<void> {
  const { output: destination } = options;
  const { signal } = context;
  if (context.json && destination === "-") throw jsonBesideStream();
  using store = openStore(context);
  const tree = treeOf(await findSubject(store, name, { signal }));
  using output = new TarOutput(destination);
  using progress = context.openProgress();
  const epochNs = sourceDateNs();
  const { sizeBytes, skipped } = await exportTree(tree, output, {
    signal,
    ...(epochNs !== null && { epochNs }),
    onProgress: (bytes) => progress.show({ label: "exporting", done: bytes, total: 0, unit: "bytes" }),
  });
  output.finish();
  progress.clear();
  context.reportSkipped(skipped);
  if (context.json) printDocument({ output: destination, bytes: sizeBytes });
}
