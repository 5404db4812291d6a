/** `layerctl import SOURCE`: images into the store. */

import { type Command, Option } from "commander";
import { type ApplyLimits, DEFAULT_LIMITS } from "../../layers/apply/limits.ts";
import { importSource } from "../../layers/import.ts";
import { parsePlatform } from "../../layers/oci/platform.ts";
import { Store } from "../../layers/store.ts";
import { absolute } from "../root.ts";
import { pathArgument } from "../arguments.ts";
import type { Context } from "../context.ts";
import { formatSize, printDocument, printLines } from "../output.ts";
import { parseCount, parseSize } from "../quantities.ts";

interface Options {
  readonly name?: string;
  readonly platform?: string;
  readonly rootfs?: boolean;
  readonly maxLayerSize: string;
  readonly maxEntries: string;
}

export function define(command: Command): void {
  command
    .argument("<source>", 'an image: a file or directory, or "-" for standard input; what it is is found out')
    .option("-n, --name <ref>", "name for the image (a source with several images keeps their names)")
    .option("--platform <os/arch>", "which image of a multi-platform index (default: this machine's)")
    .option("--rootfs", "the source is the tar of one root file system, not an image")
    .addOption(
      new Option("--max-layer-size <bytes>", "refuse a layer that unpacks to a larger tar")
        .default(String(DEFAULT_LIMITS.maxLayerBytes), "64GiB"),
    )
    .addOption(
      new Option("--max-entries <count>", "refuse a layer with more entries").default(String(DEFAULT_LIMITS.maxEntries)),
    )
    .addHelpText(
      "after",
      `
Prints one line "REF DIGEST" an image; REF is <none> for an image without a name.

Sources: OCI layout directory, OCI archive, docker-archive (docker save, podman save), plain or compressed with gzip or
zstd; with --rootfs the tar of a root file system.

Examples:
  $ layerctl import debian.tar
  $ layerctl import ./layout --platform linux/arm64
  $ docker save debian:12 | layerctl import -
  $ layerctl import rootfs.tar.zst --rootfs --name debian:12`,
    );
}

export async function run(context: Context, source: string, options: Options): Promise<void> {
  const limits: ApplyLimits = {
    maxLayerBytes: parseSize(options.maxLayerSize),
    maxEntries: parseCount(options.maxEntries),
  };
  using store = Store.open(context.root, { logger: context.logger, create: true });
  using progress = context.openProgress();
  const images = await importSource(store, source === "-" ? "-" : absolute(pathArgument(source)), {
    limits,
    signal: context.signal,
    onProgress: (state) => progress.show(state),
    ...(options.name !== undefined && { name: options.name }),
    ...(options.platform !== undefined && { platform: parsePlatform(options.platform) }),
    ...(options.rootfs !== undefined && { rootfs: options.rootfs }),
  });
  progress.clear();
  if (context.json) printDocument({ images: images.map(({ reference, digest }) => ({ reference, digest })) });
  else printLines(images.map(({ reference, digest }) => `${reference ?? "<none>"} ${digest}`));
}
