/** `layerctl commit NAME REF`: a snapshot's changes as a new layer, in a new image. */

import { type Command, Option } from "commander";
import { type CommittedImage, commitSnapshot } from "../../layers/commit/commit.ts";
import { COMPRESSIONS, type Compression } from "../../layers/commit/compress.ts";
import { repairContainers } from "../../layers/containers/containers.ts";
import { whilePaused } from "../../layers/containers/pause.ts";
import { formatReference, parseReference } from "../../layers/oci/reference.ts";
import { getSnapshot } from "../../layers/snapshots/snapshots.ts";
import type { Context } from "../context.ts";
import { printDocument, printLines } from "../output.ts";
import { openStore } from "../store.ts";

interface Options {
  readonly change?: readonly string[];
  readonly message?: string;
  readonly author?: string;
  readonly compression: Compression;
  readonly sparse: boolean;
  readonly pause?: boolean;
}

export function define(command: Command): void {
  command
    .argument("<name>", "a snapshot, mounted or not")
    .argument("<newref>", "name for the image, taken from the image that has it now")
    .addOption(
      new Option(
        "-c, --change <change>",
        "change of the image's config, as in a Dockerfile; may be repeated",
      ).argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value]),
    )
    .option("-m, --message <text>", "comment in the image's history")
    .option("-a, --author <text>", "author of the image")
    .addOption(new Option("--compression <kind>", "of the new layer").choices(COMPRESSIONS).default("gzip"))
    .option("--no-sparse", "holes of sparse files as zeros, for who saves or pushes the image with docker or podman")
    .option("-p, --pause", "let a running container stand still meanwhile (the default)")
    .option("--no-pause", "let it go on; so does --pause=false")
    .addOption(new Option("--pause=false").hideHelp().implies({ pause: false }))
    .addOption(new Option("--pause=true").hideHelp().implies({ pause: true }))
    .addHelpText(
      "after",
      `
Prints the digest of the image. The snapshot stays as it is and may stay mounted; what runs in it as a container is paused
until the layer is written. A tree that keeps changing while it is read is refused with exit code 4. The same change gives
the same layer; with SOURCE_DATE_EPOCH set, which no time in the image is then later than, it gives the same image.

Sparse files stay sparse: holes are not in the layer. docker and podman run such an image, but neither can write that layer
again ("could not verify layer data", "write too long"): use --no-sparse where they are to save or push the image.

Changes: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR.

Examples:
  $ layerctl commit work debian:mine
  $ layerctl commit work debian:mine -c 'CMD ["cat","/etc/greeting"]' -c 'ENV LANG=C.UTF-8' -m "a greeting"
  $ layerctl commit work debian:mine --compression zstd`,
    );
}

export async function run(context: Context, name: string, reference: string, options: Options): Promise<void> {
  const { change: changes = [], message, author, compression, sparse, pause = true } = options;
  using store = openStore(context);
  await repairContainers(store);
  using progress = context.openProgress();
  const snapshot = getSnapshot(store, name);
  const commit = (): Promise<CommittedImage> =>
    commitSnapshot(store, snapshot, {
      reference,
      changes,
      ...(message !== undefined && { message }),
      ...(author !== undefined && { author }),
      compression,
      sparse,
      signal: context.signal,
      onProgress: (bytes) => progress.show({ label: "committing", done: bytes, total: 0, unit: "bytes" }),
    });
  const committed = await (pause ? whilePaused(store, snapshot.id, commit, context.signal) : commit());
  progress.clear();
  context.reportSkipped(committed.skipped);
  if (!context.json) {
    printLines([committed.digest]);
    return;
  }
  const { digest, configDigest, layer, diffId, tarBytes } = committed;
  printDocument({
    reference: formatReference(parseReference(reference)),
    digest,
    configDigest,
    layer,
    diffId,
    tarBytes,
  });
}
