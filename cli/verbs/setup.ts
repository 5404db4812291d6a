/** `layerctl setup podman|containerd`: what other engines need in their configuration to use the store. */

import { Argument, type Command } from "commander";
import { storeLayout } from "../../layers/layout.ts";
import { rememberGraphroot } from "../../layers/podman/dependents.ts";
import { refuseWhileUsed, startPublishing, stopPublishing } from "../../layers/podman/publish.ts";
import { type ConfigChange, undoneConfig, writeConfig } from "../../layers/setup/config-change.ts";
import { containerdChange } from "../../layers/setup/containerd.ts";
import { podmanChange } from "../../layers/setup/podman.ts";
import { UsageError } from "../../src/errors.ts";
import { display, type HostPath, hostPath } from "../../src/paths.ts";
import type { Context } from "../context.ts";
import { pathFields, printDocument, printLines } from "../output.ts";
import { absolute } from "../root.ts";
import { isStoreThere, openStore } from "../store.ts";

const DEFAULT_SOCKET = "/run/layerctl/containerd.sock";
const PODMAN_CONFIG = "/etc/containers/storage.conf";
const CONTAINERD_CONFIG = "/etc/containerd/config.toml";

interface Options {
  readonly write?: boolean;
  readonly undo?: boolean;
  readonly config?: string;
  readonly mountProgram?: boolean;
  readonly imageStore: boolean;
  readonly socket: string;
}

export function define(command: Command): void {
  command
    .addArgument(new Argument("<engine>", "whose configuration").choices(["podman", "containerd"]))
    .option("--write", "change the configuration file, and for podman give it the images")
    .option("--undo", "take back what --write did")
    .option(
      "--config <file>",
      `the file (default: ${PODMAN_CONFIG} or ${CONTAINERD_CONFIG}; podman's for a user: in ~/.config)`,
    )
    .option("--mount-program", "podman: mount with our FUSE as well")
    .option("--no-image-store", "podman: do not give it the images")
    .option("--socket <path>", 'containerd: where "layerctl serve" listens', DEFAULT_SOCKET)
    .addHelpText(
      "after",
      `
Without --write or --undo it only prints what is to be added. Comments and order of the file stay, and --undo leaves it as it
was before, byte for byte.

podman and buildah get the store as an additional image store: every image in it is one of theirs, read-only, and runs from
the layers as they are unpacked here. Imports, commits and removals show there at once; an image that has something of
podman's on it is not removed. That takes root, as podman of a user cannot read the store of root. With --mount-program podman
mounts with our FUSE, also for users.

containerd gets a snapshotter of the name layerctl, for which "layerctl serve" has to run.

Examples:
  $ layerctl setup podman
  $ layerctl setup podman --write
  $ layerctl setup podman --write --mount-program
  $ layerctl setup podman --undo
  $ layerctl setup containerd --write --socket /run/layerctl/containerd.sock`,
    );
}

export async function run(context: Context, engine: "podman" | "containerd", options: Options): Promise<void> {
  if (options.write && options.undo) throw new UsageError("ERR_OPTIONS", "Cannot use --write with --undo: choose one");
  const path = absolute(hostPath(options.config ?? defaultConfig(engine)));
  if (options.undo) return undo(context, engine, path);
  if (engine === "containerd") {
    const change = containerdChange(path, options.socket);
    if (options.write) writeConfig(change);
    tell(context, change, options.write ?? false, 'restart containerd, and run "layerctl serve"');
    return;
  }
  await setUpPodman(context, path, options);
}

async function setUpPodman(context: Context, path: HostPath, options: Options): Promise<void> {
  const { write = false, mountProgram = false, imageStore } = options;
  if (!imageStore && !mountProgram)
    throw new UsageError("ERR_OPTIONS", "Cannot set up podman: nothing is left to set up");
  if (imageStore && process.geteuid?.() !== 0) {
    const advice = "use --no-image-store --mount-program";
    throw new UsageError(
      "ERR_NEEDS_ROOT",
      `Cannot give the images to podman: podman of a user cannot read them; ${advice}`,
    );
  }
  const { podman } = storeLayout(context.root);
  const change = podmanChange(path, { imageStore: imageStore ? podman : null, mountProgram });
  if (write && imageStore) {
    using store = openStore(context);
    using progress = context.openProgress();
    await startPublishing(store, {
      signal: context.signal,
      onProgress: ({ doneBytes: done, totalBytes: total }) =>
        progress.show({ label: "describing layers", done, total, unit: "bytes" }),
    });
    rememberGraphroot(store, change.graphroot);
  }
  if (write) writeConfig(change);
  tell(context, change, write, "podman and buildah use it from now on");
}

function undo(context: Context, engine: "podman" | "containerd", path: HostPath): void {
  using store = engine === "podman" && isStoreThere(context) ? openStore(context) : null;
  if (store !== null) refuseWhileUsed(store);
  const change = undoneConfig(path);
  if (change !== null) writeConfig(change); // first: podman must not look for what is gone
  if (store !== null) stopPublishing(store);
  if (context.json) printDocument({ ...pathFields("file", path), undone: change !== null });
}

function tell(context: Context, { path, wanted }: ConfigChange, isWritten: boolean, next: string): void {
  if (context.json) {
    printDocument({ ...pathFields("file", path), wanted, written: isWritten });
    return;
  }
  const shown = display(path);
  if (isWritten) context.say("setup.written", `changed "${shown}"; ${next}`, { path: shown });
  else context.say("setup.wanted", `"${shown}" needs what follows; --write puts it there`, { path: shown });
  if (!isWritten) printLines(wanted.trimEnd().split("\n"));
}

function defaultConfig(engine: "podman" | "containerd"): string {
  if (engine === "containerd") return CONTAINERD_CONFIG;
  if (process.geteuid?.() === 0) return PODMAN_CONFIG;
  const { XDG_CONFIG_HOME: config, HOME: home = "" } = process.env;
  return `${config === undefined || config === "" ? `${home}/.config` : config}/containers/storage.conf`;
}
