/** `layerctl save REF... -o DEST`: images for other tools. */

import { type Command, Option } from "commander";
import { defaultSaveFormat, SAVE_FORMATS, type SaveFormat, saveImages } from "../../layers/save.ts";
import type { Context } from "../context.ts";
import { jsonBesideStream, printDocument } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly output: string;
  readonly format?: SaveFormat;
}

export function define(command: Command): void {
  command
    .argument("<ref...>", "images; what a name is given for is saved under that name")
    .requiredOption(
      "-o, --output <file|dir>",
      'where to: a file, a directory for oci-layout, or "-" for standard output',
    )
    .addOption(
      new Option("--format <format>", "what to write (default: oci-layout to a directory, else oci-archive)").choices(
        SAVE_FORMATS,
      ),
    )
    .addHelpText(
      "after",
      `
Every manifest, config and layer goes out as it came in or was committed, so digests stay. Prints nothing. An OCI layout
that is there already is added to; a file is replaced when all is written.

Examples:
  $ layerctl save debian:mine -o mine.tar
  $ layerctl save debian:12 debian:mine -o both.tar --format docker-archive
  $ layerctl save debian:mine -o layout/
  $ layerctl save debian:mine -o - --format docker-archive | docker load`,
    );
}

export async function run(context: Context, references: readonly string[], options: Options): Promise<void> {
  const { output: destination } = options;
  const format = options.format ?? defaultSaveFormat(destination);
  if (context.json && destination === "-") throw jsonBesideStream();
  using store = openStore(context);
  using progress = context.openProgress();
  await saveImages(store, references, {
    destination,
    format,
    ...(destination === "-" && { output: process.stdout }),
    signal: context.signal,
    onProgress: ({ doneBytes, totalBytes }) =>
      progress.show({ label: "saving", done: doneBytes, total: totalBytes, unit: "bytes" }),
  });
  if (context.json) printDocument({ images: references, output: destination, format });
}
