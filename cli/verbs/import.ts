/** `layerctl import SOURCE`: images into the store. */

import { type Command, Option } from "commander";
import { DEFAULT_LIMITS } from "../../layers/apply/limits.ts";
import { SPOOL_LIMIT_BYTES } from "../../layers/formats/spool.ts";
import { type ImportProgress, importSource, openImport } from "../../layers/import.ts";
import { parsePlatform } from "../../layers/oci/platform.ts";
import { familiar } from "../../layers/resolve-image.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines } from "../output.ts";
import { parseCount, parseSize } from "../quantities.ts";
import { directoryForStore, isStoreThere, makeStore } from "../store.ts";

interface Options {
  readonly name?: string;
  readonly platform?: string;
  readonly rootfs?: boolean;
  readonly maxLayerSize: string;
  readonly maxEntries: string;
  readonly maxArchiveSize: string;
}

export function define(command: Command): void {
  const { maxLayerBytes, maxEntries } = DEFAULT_LIMITS;
  command
    .argument("<source>", 'a file or directory, or "-" for standard input; what it is is found out from its bytes')
    .option("-n, --name <ref>", "name for the image, instead of those in the source")
    .option("--platform <os/arch>", "which image of a multi-platform index (default: this machine's)")
    .option("--rootfs", "the source is the tar of one root file system, not an image")
    .addOption(
      new Option("--max-layer-size <size>", "refuse a layer whose tar is larger").default(
        String(maxLayerBytes),
        `${maxLayerBytes / 2 ** 30}GiB`,
      ),
    )
    .addOption(new Option("--max-entries <n>", "refuse a layer with more entries").default(String(maxEntries)))
    .addOption(
      new Option(
        "--max-archive-size <size>",
        "refuse an archive from a pipe, or compressed as a whole, if larger",
      ).default(String(SPOOL_LIMIT_BYTES), `${SPOOL_LIMIT_BYTES / 2 ** 30}GiB`),
    )
    .addHelpText(
      "after",
      `
Prints one line "REF DIGEST" an image; REF is <none> for an image without a name.

Sources: an OCI layout directory, an OCI archive, a docker-archive (docker save, podman save), and with --rootfs the tar
of a root file system. Archives and layers may be compressed with gzip or zstd.

Examples:
  $ layerctl import debian.tar
  $ layerctl import ./layout --platform linux/arm64
  $ docker save debian:12 | layerctl import -
  $ layerctl import rootfs.tar.zst --rootfs --name debian:12`,
    );
}

export async function run(context: Context, source: string, options: Options): Promise<void> {
  const { name, platform, rootfs = false } = options;
  const limits = { maxLayerBytes: parseSize(options.maxLayerSize), maxEntries: parseCount(options.maxEntries) };
  const chosen = platform === undefined ? {} : { platform: parsePlatform(platform) };
  using progress = context.openProgress();
  const importing = {
    ...(name !== undefined && { name }),
    ...chosen,
    rootfs,
    limits,
    maxArchiveBytes: parseSize(options.maxArchiveSize),
    signal: context.signal,
    onProgress: ({ doneBytes, totalBytes }: ImportProgress) =>
      progress.show({ label: "importing", done: doneBytes, total: totalBytes, unit: "bytes" }),
  };
  const opened = isStoreThere(context) ? source : await openImport(source, directoryForStore(context), importing);
  using store = makeStore(context);
  const images = await importSource(store, opened, importing);
  progress.clear();
  if (context.json) printDocument({ images: images.map(({ reference, digest }) => ({ reference, digest })) });
  else
    printLines(
      images.map(({ reference, digest }) => `${reference === null ? "<none>" : familiar(reference)} ${digest}`),
    );
}
