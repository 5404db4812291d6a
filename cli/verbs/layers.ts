/** `layerctl layers [REF]`: the layers of an image, or of the store. */

import type { Command } from "commander";
import { resolveImage } from "../../layers/images.ts";
import type { Store } from "../../layers/store.ts";
import { shortDigest } from "../../src/digest.ts";
import { listHoldersOf } from "../../src/meta/held-snapshots.ts";
import { countImagesWithLayer } from "../../src/meta/images.ts";
import { getLayer, type LayerRow, listLayers } from "../../src/meta/layers.ts";
import type { Context } from "../context.ts";
import { type LayerUsers, layerDocument, storedLayerDocument } from "../documents.ts";
import { formatSize, printDocument, printLines, tableLines } from "../output.ts";
import { openStore, openStoreIfAny } from "../store.ts";

export function define(command: Command): void {
  command.argument("[ref]", "an image: its name, its digest, or the first digits of that").addHelpText(
    "after",
    `
The base layer comes first. BLOB is the size of the layer as it came or was committed, UNPACKED that of its files in the
store: "-" before the image is first mounted. Without REF all layers that are unpacked, with how many images have each, and
which other engines hold it; DIFFID is "-" for one that another engine unpacked and no image here has named.

Examples:
  $ layerctl layers
  $ layerctl layers debian:12
  $ layerctl layers debian:12 --json`,
  );
}

export function run(context: Context, reference: string | undefined): void {
  if (reference === undefined) showStore(context);
  else showImage(context, reference);
}

function showStore(context: Context): void {
  using store = openStoreIfAny(context);
  const layers = store === null ? [] : listLayers(store.db).map((row) => ({ row, users: usersOf(store, row) }));
  if (context.json) {
    printDocument({ layers: layers.map(({ row, users }) => storedLayerDocument(row, users)) });
    return;
  }
  const rows = layers.map(({ row, users }) => [
    row.diffId === null ? "-" : shortDigest(row.diffId),
    shortDigest(row.chainId),
    row.parent === null ? "-" : shortDigest(row.parent),
    formatSize(row.sizeBytes),
    String(row.inodes),
    String(users.images),
    users.holders.join(",") || "-",
  ]);
  const align = ["left", "left", "left", "right", "right", "right", "left"] as const;
  printLines(tableLines(["DIFFID", "CHAINID", "PARENT", "UNPACKED", "FILES", "IMAGES", "HELD BY"], rows, align));
}

function usersOf({ db }: Store, { chainId }: LayerRow): LayerUsers {
  return { images: countImagesWithLayer(db, chainId), holders: listHoldersOf(db, chainId) };
}

function showImage(context: Context, reference: string): void {
  using store = openStore(context);
  const image = resolveImage(store, reference);
  if (context.json) {
    printDocument({ digest: image.digest, layers: image.layers.map((layer) => layerDocument(store, layer)) });
    return;
  }
  const rows = image.layers.map(({ diffId, chainId, descriptor }) => {
    const row = getLayer(store.db, chainId);
    return [
      shortDigest(diffId),
      shortDigest(chainId),
      shortDigest(descriptor.digest),
      formatSize(descriptor.size),
      row === null ? "-" : formatSize(row.sizeBytes),
      row === null ? "-" : String(row.inodes),
    ];
  });
  const align = ["left", "left", "left", "right", "right", "right"] as const;
  printLines(tableLines(["DIFFID", "CHAINID", "DIGEST", "BLOB", "UNPACKED", "FILES"], rows, align));
}
