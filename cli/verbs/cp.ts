/** `layerctl cp SRC DST`: files into a container and out of it. */

import type { Command } from "commander";
import { repairContainers } from "../../layers/containers/containers.ts";
import {
  type Copied,
  type CopyOptions,
  copyFromTar,
  copyToTar,
  copyTree,
  onThisHost,
} from "../../layers/containers/copy.ts";
import { withTree } from "../../layers/containers/tree.ts";
import { UsageError } from "../../src/errors.ts";
import { hostPath } from "../../src/paths.ts";
import { isTerminal } from "../../src/sys/terminal.ts";
import type { Context } from "../context.ts";
import { jsonBesideStream, printDocument, STDOUT } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly archive?: boolean;
  readonly followLink?: boolean;
}

const STDIN = 0;

export function define(command: Command): void {
  command
    .argument("<source>", "NAME:PATH in a container or snapshot, a path of this host, or - for a tar on standard input")
    .argument("<target>", "the same; - for a tar on standard output")
    .option("-a, --archive", "keep owners and extended attributes, and set-id bits on the way out too")
    .option("-L, --follow-link", "copy what a symbolic link leads to, if the source is one")
    .addHelpText(
      "after",
      `
One of the two is in a container, which may run or not. A file is copied to a name, or into a directory that is there. A
directory becomes a new one, or comes into one that is there; if its path ends in "/.", what is in it does. Modes and times are
kept. Without -a what is copied into a container belongs to its root, and what is copied out of it to you: so it is no set-id
program then.

No link of the container leads out of it, whatever its processes do meanwhile. A path of this host with a colon in it is
written with "./" or "/" before it.

Examples:
  $ layerctl cp web:/etc/nginx/nginx.conf .
  $ layerctl cp -a ./site/. web:/srv/www
  $ layerctl cp web:/var/log - | tar -t`,
    );
}

export async function run(context: Context, source: string, target: string, options: Options): Promise<void> {
  const [from, to] = [parsePlace(source), parsePlace(target)];
  if (context.json && target === "-") throw jsonBesideStream();
  if ((from.name === null) === (to.name === null)) {
    const state =
      from.name === null
        ? "neither is in a container; name one as NAME:PATH"
        : "both are in containers; copy by way of a file";
    throw new UsageError("ERR_COPY_PLACES", `Cannot copy from "${source}" to "${target}": ${state}`);
  }
  if (target === "-" && isTerminal(STDOUT)) {
    throw new UsageError("ERR_DESTINATION", "Cannot write a tar to standard output: it is a terminal; redirect it");
  }
  using store = openStore(context);
  await repairContainers(store);
  const { signal } = context;
  const isOut = from.name !== null;
  const copyOptions: CopyOptions = {
    archive: options.archive ?? false,
    keepsSetIds: !isOut,
    followLink: options.followLink ?? false,
    owner: isOut ? { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 } : { uid: 0, gid: 0 },
    signal,
    onSkipped: (path, reason) => context.logger.warn("copy.skipped", { path, reason }),
  };
  const copied = await withTree(store, from.name ?? to.name ?? "", async (root, ids): Promise<Copied> => {
    const inside = { root, ids, path: hostPath(isOut ? from.path : to.path) };
    if (isOut && to.path === "-") return await copyToTar(inside, STDOUT, copyOptions);
    if (!isOut && from.path === "-") return await copyFromTar(STDIN, inside, copyOptions);
    using outside = onThisHost(isOut ? to.path : from.path);
    return isOut ? await copyTree(inside, outside, copyOptions) : await copyTree(outside, inside, copyOptions);
  });
  if (context.json) printDocument(copied);
}

interface Place {
  /** null: on this host. */
  readonly name: string | null;
  readonly path: string;
}

/** As docker: what begins with "/" or "." has no container's name before its colon. */
function parsePlace(text: string): Place {
  const colon = text.indexOf(":");
  if (text === "") throw new UsageError("ERR_COPY_PLACES", 'Cannot copy to or from "": it is empty');
  if (colon < 1 || text.startsWith("/") || text.startsWith(".")) return { name: null, path: text };
  const path = text.slice(colon + 1);
  return { name: text.slice(0, colon), path: path.startsWith("/") ? path : `/${path}` };
}
