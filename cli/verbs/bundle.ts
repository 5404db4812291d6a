/** `layerctl bundle REF DIR`: what an OCI runtime wants, with a mounted root. */

import type { Command } from "commander";
import { bundleImage } from "../../layers/containers/bundle.ts";
import { findInitProgram } from "../../src/exec/init-program.ts";
import { type ContainerFlags, containerOptions, defineContainerOptions } from "../container-options.ts";
import type { Context } from "../context.ts";
import { pathFields, printDocument, printPath } from "../output.ts";
import { openStore } from "../store.ts";

interface Options extends ContainerFlags {
  readonly name?: string;
  readonly rm?: boolean;
}

export function define(command: Command): void {
  defineContainerOptions(
    command
      .argument("<ref>", "an image of the store")
      .argument("<dir>", "the bundle; made if its parent exists, and empty otherwise")
      .argument("[command...]", "what is to be run, with its arguments (default: the image's)")
      .passThroughOptions()
      .option("--name <name>", "of the snapshot (default: the image's, with four random digits)")
      .option("--rm", "the snapshot and its changes go when the runtime deletes the container"),
  ).addHelpText(
    "after",
    `
Makes a snapshot of the image, mounts it at DIR/rootfs, and writes DIR/config.json (OCI runtime spec) as "layerctl run" would
start it. Prints the snapshot's name. A hook unmounts the root when the runtime has deleted the container ("poststop"); to use
the bundle again, mount the snapshot at DIR/rootfs again.

Examples:
  $ layerctl bundle debian:12 /tmp/work --name work sh -c 'echo hello'
  $ runc run --bundle /tmp/work work
  $ layerctl diff work
  $ layerctl mount work /tmp/work/rootfs`,
  );
}

export async function run(
  context: Context,
  reference: string,
  directory: string,
  command: readonly string[],
  flags: Options,
): Promise<void> {
  using store = openStore(context);
  const options = containerOptions(command, flags, findInitProgram);
  const { name } = flags;
  const bundle = await bundleImage(store, reference, directory, {
    options,
    ...(name !== undefined && { name }),
    remove: flags.rm ?? false,
    signal: context.signal,
  });
  if (context.json) printDocument({ name: bundle.name, ...pathFields("bundle", bundle.directory) });
  else printPath(bundle.name);
}
