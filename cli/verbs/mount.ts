/** `layerctl mount REF [TARGET]`: an image as a tree to work in, or a snapshot again. */

import { type Command, Option } from "commander";
import { isContainer, mountsAlready, runningMount } from "../../layers/containers/mounted.ts";
import { mountImage } from "../../layers/mounts.ts";
import type { RequestedBackend } from "../../src/mount/backend.ts";
import { parseOverlayOptions } from "../../src/mount/overlay-options.ts";
import type { Context } from "../context.ts";
import { pathFields, printDocument, printPath } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly name?: string;
  readonly ro?: boolean;
  readonly init?: boolean;
  readonly backend: RequestedBackend;
  readonly options?: readonly string[];
}

export function define(command: Command): void {
  command
    .argument("<ref|name>", "an image, or a snapshot to continue: a snapshot of this name comes first")
    .argument("[target]", "where; made if its parent exists (default: a directory of the store)")
    .option("-n, --name <name>", "name for a new snapshot (default: the image's, with four random digits)")
    .option("--ro", "read-only: what is mounted cannot be changed")
    .option(
      "--init",
      "give a new snapshot what a runtime wants to find, such as /etc/resolv.conf; it is never committed",
    )
    .addOption(
      new Option("--backend <backend>", "what makes the mount").choices(["auto", "kernel", "fuse"]).default("auto"),
    )
    .addOption(
      new Option("-o, --options <options>", "overlayfs options, separated by commas; may be repeated").argParser(
        (value: string, before: readonly string[] | undefined) => [...(before ?? []), value],
      ),
    )
    .addHelpText(
      "after",
      `
Makes a snapshot, which takes the changes, mounts it, and prints the target's path alone. The mount stays when the command
ends; "layerctl umount" takes it away and keeps the changes, and mounting the snapshot's name again brings them back, with
the options of its last mount (without volatile) unless -o gives others. A container that runs is mounted already: its target is
printed, and changes there are changes in it.

Mounts are made by the kernel's overlayfs. Where it refuses (no privilege, no overlayfs, an upperdir or a number of layers that
it does not take) they are made by a server of ours over FUSE, and a warning tells why; --backend kernel or fuse forces one.
Both leave the same on disk, so that a snapshot may be continued with the other.

Options of overlayfs: index=on|off, redirect_dir=on|off|follow|nofollow, metacopy=on|off, xino=on|off|auto, volatile,
userxattr, nfs_export=on|off. Up to 500 layers and paths with any characters can be mounted. After a crash of a volatile
mount its changes may be incomplete: only an explicit -o volatile goes on with them.

Examples:
  $ layerctl mount debian:12
  $ tree=$(layerctl mount debian:12 --name work)
  $ layerctl mount debian:12 /mnt --ro
  $ layerctl mount debian:12 --backend fuse
  $ layerctl mount debian:12 --name fast -o redirect_dir=on,metacopy=on -o volatile
  $ layerctl mount work`,
    );
}

export async function run(
  context: Context,
  reference: string,
  target: string | undefined,
  options: Options,
): Promise<void> {
  const { name, ro = false, init = false, backend, options: overlay } = options;
  using store = openStore(context);
  const running = runningMount(store, name ?? reference);
  const isPlain = target === undefined && overlay === undefined && !ro && !init && backend === "auto";
  if (running !== null && !isPlain) throw mountsAlready(running);
  const mounted =
    running ??
    (await mountImage(store, reference, {
      ...(target !== undefined && { target }),
      ...(name !== undefined && { name }),
      ...(overlay !== undefined && { options: parseOverlayOptions(overlay.join(",")) }),
      readOnly: ro,
      init,
      backend,
      ignoreCopies: isContainer(store, name ?? reference),
      signal: context.signal,
    }));
  const { snapshot } = mounted;
  if (!context.json) {
    printPath(mounted.target);
    return;
  }
  const readOnly = ro || snapshot.upperdir === null;
  printDocument({
    name: snapshot.name,
    image: snapshot.image,
    ...pathFields("target", mounted.target),
    backend: mounted.backend,
    readOnly,
  });
}
