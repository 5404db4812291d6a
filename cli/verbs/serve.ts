/** `layerctl serve --containerd SOCKET`: the store as containerd's snapshotter. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { NotFoundError } from "../../src/errors.ts";
import { parseOverlayOptions } from "../../src/mount/overlay-options.ts";
import { hostPath } from "../../src/paths.ts";
import type { Context } from "../context.ts";
import { makeStore } from "../store.ts";

interface Options {
  readonly containerd: string;
  readonly metrics?: string;
  readonly mode: number;
  readonly group?: string;
  readonly backend: "kernel" | "fuse";
  readonly options?: string;
  readonly holder: string;
  readonly remapIds: boolean;
}

export function define(command: Command): void {
  command
    .requiredOption("--containerd <socket>", "serve containerd's snapshots service at this unix socket")
    .option("--metrics <socket>", "serve HTTP at this unix socket: /metrics for Prometheus, and /health")
    .addOption(
      new Option("--mode <mode>", "who may connect, as of the sockets' files")
        .argParser(parseMode)
        .default(0o600, "600"),
    )
    .option("--group <group>", "the sockets' group, whose members may call too (with --mode 660)")
    .addOption(
      new Option("--backend <backend>", "how containerd mounts snapshots")
        .choices(["kernel", "fuse"])
        .default("kernel"),
    )
    .option("-o, --options <options>", 'overlay options of kernel mounts, as "layerctl mount" takes them')
    .option("--holder <name>", "in whose name snapshots are held: one for each containerd", parseHolder, "containerd")
    .option("--remap-ids", "mount with the ids that containers in user namespaces ask for", false)
    .addHelpText(
      "after",
      `
Runs until it is told to stop (SIGTERM, SIGINT), and answers what it has begun. Root and members of the group may call.
containerd finds it by its configuration, and "ctr --snapshotter layerctl" and the like use it:

  [proxy_plugins.layerctl]
    type = "snapshot"
    address = "/run/layerctl/containerd.sock"

A layer that the store has is not pulled again, where the client asks for it (containerd.io/snapshot.ref), and never lies on
the disk twice. Layers that containerd unpacked are layers of the store: "layerctl layers" lists them, and importing their
image unpacks nothing. gc keeps what containerd uses. Sockets from systemd (LISTEN_FDS) are used if they have the same path.
With --backend fuse, containerd needs layerctl-fuse on its PATH. With --remap-ids, which containerd 2 understands, its
configuration names the plugin's capability: capabilities = ["remap-ids"]. The systemd units are in share/systemd of the package.

Examples:
  $ layerctl serve --containerd /run/layerctl/containerd.sock
  $ layerctl serve --containerd /run/layerctl/containerd.sock --metrics /run/layerctl/metrics.sock`,
    );
}

function parseMode(text: string): number {
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  throw new InvalidArgumentError('It is octal, as "660".');
}

function parseHolder(text: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/.test(text)) return text;
  throw new InvalidArgumentError(
    'It has 1 to 64 letters, digits, "_", "." and "-", and begins with a letter or digit.',
  );
}

/** A name wins over a number. @throws {NotFoundError} `ERR_GROUP_NOT_FOUND` */
function groupId(group: string): number {
  const lines = readFileSync("/etc/group", "utf8").split("\n");
  const id = lines.map((line) => line.split(":")).find(([name]) => name === group)?.[2] ?? group;
  if (/^\d{1,9}$/.test(id)) return Number(id);
  const message = `Cannot serve for group "${group}": /etc/group has none of this name; give its number`;
  throw new NotFoundError("ERR_GROUP_NOT_FOUND", message, { data: { group } });
}

/**
 * What callers wait for longest is the garbage collector: with its usual young generation of 16 MiB it stops for 10 ms, with
 * this one for 3. V8 takes it at the start only, so the process becomes itself again, with the same id and descriptors.
 */
const SMALL_YOUNG_GENERATION = "--max-semi-space-size=2";

async function restartWithShortPauses(): Promise<void> {
  if (process.execArgv.includes(SMALL_YOUNG_GENERATION)) return;
  const { passedDescriptors } = await import("../../layers/serve/unix-listener.ts");
  const { passOn } = await import("../../src/sys/descriptors.ts");
  for (const fd of passedDescriptors()) passOn(fd);
  const args = [process.execPath, ...process.execArgv, SMALL_YOUNG_GENERATION, ...process.argv.slice(1)];
  process.execve?.(process.execPath, args, process.env);
}

export async function run(context: Context, options: Options): Promise<number> {
  await restartWithShortPauses();
  const asked = parseOverlayOptions(options.options ?? "");
  const { serve } = await import("../../layers/serve/serve.ts");
  const { defaultOverlayOptions } = await import("../../layers/serve/held-mounts.ts");
  const { mode } = options;
  const gid = options.group === undefined ? null : groupId(options.group);
  const socketAt = (path: string) => ({ path: hostPath(resolve(path)), mode, gid });
  using store = makeStore(context);
  await serve(store, {
    socket: socketAt(options.containerd),
    metrics: options.metrics === undefined ? null : socketAt(options.metrics),
    holder: options.holder,
    style: { backend: options.backend, options: defaultOverlayOptions(asked), remapsIds: options.remapIds },
    signal: context.signal,
    onReady: () => context.say("serve.ready", `serving containerd at ${options.containerd}`),
  });
  return 0;
}
