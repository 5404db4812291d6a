/** `layerctl mounts`: the snapshots, and where they are mounted. */

import type { Command } from "commander";
import { listMounts, type SnapshotMount } from "../../layers/mounts.ts";
import { familiar } from "../../layers/resolve-image.ts";
import { shortDigest } from "../../src/digest.ts";
import { display, type HostPath } from "../../src/paths.ts";
import type { Context } from "../context.ts";
import { snapshotDocument } from "../documents.ts";
import { fuseStatistics, statisticsLines } from "../fuse-statistics.ts";
import { formatTime, pathFields, printDocument, printLines, tableLines } from "../output.ts";
import { openStoreIfAny } from "../store.ts";

interface Options {
  readonly stats?: boolean;
}

export function define(command: Command): void {
  command.option("--stats", "what the servers of FUSE mounts have counted").addHelpText(
    "after",
    `
TARGET is "-" for a snapshot that is not mounted; its changes are kept. A mount that something else took away (a reboot,
umount) is noticed and shown as not mounted, and one in another mount namespace is warned of. A FUSE mount whose server died
is taken away.

--stats shows, of each FUSE mount of yours ("layerctl fuse" too): requests by kind, how long they took, how files were opened,
the inodes that the kernel knows, requests that failed unexpectedly, and the server's memory.

Examples:
  $ layerctl mounts
  $ layerctl mounts --json
  $ layerctl mounts --stats`,
  );
}

export function run(context: Context, { stats = false }: Options): void {
  using store = openStoreIfAny(context);
  const mounts = store === null ? [] : listMounts(store);
  if (stats) {
    showStatistics(context, mounts);
    return;
  }
  if (context.json) {
    printDocument({ snapshots: mounts.map(snapshotDocument) });
    return;
  }
  const headings = ["NAME", "IMAGE", "KIND", "BACKEND", "TARGET", "OPTIONS", "CREATED"];
  printLines(tableLines(headings, mounts.map(rowOf)));
}

function showStatistics(context: Context, mounts: readonly SnapshotMount[]): void {
  const nameAt = (target: HostPath): string | null =>
    mounts.find(({ mount }) => mount?.target === target)?.snapshot.name ?? null;
  const all = fuseStatistics();
  if (context.json) {
    const documents = all.map(({ target, statistics }) => {
      return { ...pathFields("target", target), snapshot: nameAt(target), statistics };
    });
    printDocument({ mounts: documents });
    return;
  }
  printLines(all.flatMap((each) => statisticsLines(each, nameAt(each.target))));
}

function rowOf({ snapshot, mount }: SnapshotMount): readonly string[] {
  const { name, reference, image, kind, createdAtMs } = snapshot;
  return [
    name,
    reference === null ? (image === null ? "-" : shortDigest(image)) : familiar(reference),
    kind,
    mount?.backend ?? "-",
    mount === null ? "-" : display(mount.target),
    mount?.options || snapshot.options || "-",
    formatTime(createdAtMs),
  ];
}
