/** `layerctl mounts`: the snapshots, and where they are mounted. */

import type { Command } from "commander";
import { listMounts, type SnapshotMount } from "../../layers/mounts.ts";
import { familiar } from "../../layers/resolve-image.ts";
import { shortDigest } from "../../src/digest.ts";
import { display } from "../../src/paths.ts";
import type { Context } from "../context.ts";
import { snapshotDocument } from "../documents.ts";
import { formatTime, printDocument, printLines, tableLines } from "../output.ts";
import { openStoreIfAny } from "../store.ts";

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
TARGET is "-" for a snapshot that is not mounted; its changes are kept. A mount that something else took away (a reboot,
umount) is noticed and shown as not mounted, and one in another mount namespace is warned of.

Examples:
  $ layerctl mounts
  $ layerctl mounts --json`,
  );
}

export function run(context: Context): void {
  using store = openStoreIfAny(context);
  const mounts = store === null ? [] : listMounts(store);
  if (context.json) {
    printDocument({ snapshots: mounts.map(snapshotDocument) });
    return;
  }
  const headings = ["NAME", "IMAGE", "KIND", "TARGET", "OPTIONS", "CREATED"];
  printLines(tableLines(headings, mounts.map(rowOf)));
}

function rowOf({ snapshot, mount }: SnapshotMount): readonly string[] {
  const { name, reference, image, kind, createdAtMs } = snapshot;
  return [
    name,
    reference === null ? (image === null ? "-" : shortDigest(image)) : familiar(reference),
    kind,
    mount === null ? "-" : display(mount.target),
    mount?.options || snapshot.options || "-",
    formatTime(createdAtMs),
  ];
}
