/** `layerctl du`: what takes how much. */

import type { Command } from "commander";
import { type DiskUsage, measureDiskUsage, NO_USAGE, type UsageTotal } from "../../layers/disk-usage.ts";
import { familiar } from "../../layers/resolve-image.ts";
import { shortDigest } from "../../src/digest.ts";
import type { Context } from "../context.ts";
import { formatSize, printDocument, printLines, tableLines } from "../output.ts";
import { openStoreIfAny } from "../store.ts";

export function define(command: Command): void {
  command.addHelpText(
    "after",
    `
LAYERS is unpacked, BLOBS as stored. SHARED is used by other images too; EXCLUSIVE goes with the image. A layer or blob
that several images use counts once in the totals. HELD BY is who has snapshots that are no layers, as containerd its
containers. RECLAIMABLE is what "layerctl gc" would free. Sizes are those of the
data: a disk takes whole blocks, so more for many small files.

Examples:
  $ layerctl du
  $ layerctl du --json`,
  );
}

export function run(context: Context): void {
  using store = openStoreIfAny(context);
  const usage = store === null ? NO_USAGE : measureDiskUsage(store);
  if (context.json) printDocument(documentOf(usage));
  else printLines(linesOf(usage));
}

function documentOf(usage: DiskUsage): object {
  return {
    images: usage.images.map(({ image, layers, blobs }) => ({
      digest: image.digest,
      references: image.references,
      layers,
      blobs,
    })),
    snapshots: usage.snapshots.map(({ snapshot, sizeBytes, inodes }) => ({
      name: snapshot.name,
      bytes: sizeBytes,
      inodes,
    })),
    held: usage.held.map(({ sizeBytes, ...rest }) => ({ ...rest, bytes: sizeBytes })),
    layers: usage.layers,
    blobs: usage.blobs,
    leftoverBytes: usage.leftoverBytes,
  };
}

const SNAPSHOT_HEADINGS = ["SNAPSHOT", "CHANGES", "FILES"];
const HELD_HEADINGS = ["HELD BY", "SNAPSHOTS", "SIZE", "FILES"];
const RIGHT_AFTER_NAME = ["left", "right", "right", "right", "right"] as const;

function linesOf({ images, snapshots, held, layers, blobs, leftoverBytes }: DiskUsage): readonly string[] {
  const imageRows = images.map(({ image, layers: unpacked, blobs: stored }) => [
    image.references[0] === undefined ? shortDigest(image.digest) : familiar(image.references[0]),
    formatSize(unpacked.sharedBytes),
    formatSize(unpacked.exclusiveBytes),
    formatSize(stored.sharedBytes),
    formatSize(stored.exclusiveBytes),
  ]);
  const imageHeadings = ["IMAGE", "LAYERS SHARED", "LAYERS EXCLUSIVE", "BLOBS SHARED", "BLOBS EXCLUSIVE"];
  const snapshotRows = snapshots.map(({ snapshot, sizeBytes, inodes }) => [
    snapshot.name,
    formatSize(sizeBytes),
    String(inodes),
  ]);
  const heldRows = held.map(({ holder, snapshots: count, sizeBytes, inodes }) => [
    holder,
    String(count),
    formatSize(sizeBytes),
    String(inodes),
  ]);
  const totals = [totalRow("layers", layers), totalRow("blobs", blobs)];
  return [
    ...tableLines(imageHeadings, imageRows, RIGHT_AFTER_NAME),
    "",
    ...(snapshotRows.length === 0 ? [] : [...tableLines(SNAPSHOT_HEADINGS, snapshotRows, RIGHT_AFTER_NAME), ""]),
    ...(heldRows.length === 0 ? [] : [...tableLines(HELD_HEADINGS, heldRows, RIGHT_AFTER_NAME), ""]),
    ...tableLines(["TOTAL", "SIZE", "SHARED", "EXCLUSIVE", "RECLAIMABLE"], totals, RIGHT_AFTER_NAME),
    ...(leftoverBytes > 0 ? ["", `left by dead processes: ${formatSize(leftoverBytes)} (reclaimable)`] : []),
  ];
}

function totalRow(name: string, total: UsageTotal): readonly string[] {
  const { totalBytes, sharedBytes, exclusiveBytes, reclaimableBytes } = total;
  return [name, ...[totalBytes, sharedBytes, exclusiveBytes, reclaimableBytes].map(formatSize)];
}
