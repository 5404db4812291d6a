/**
 * What is in the store and reached by nothing: layers and blobs that no image or snapshot uses, files and directories
 * without a row, temporaries whose owner is dead. A row without files is none of this: that is damage, and for `fsck`.
 */

import { hexOf } from "../src/digest.ts";
import { isErrno } from "../src/errors.ts";
import { listBlobs } from "../src/meta/blobs.ts";
import { listLayers } from "../src/meta/layers.ts";
import { getSnapshotById } from "../src/meta/snapshots.ts";
import { display, type HostPath, joinHost } from "../src/paths.ts";
import { listDirectory } from "../src/sys/directory.ts";
import { AT_FDCWD, S_IFDIR, S_IFMT } from "../src/sys/file.ts";
import { statAtOrNull } from "../src/sys/stat.ts";
import { walkTree } from "../src/sys/walk-tree.ts";
import { lockExisting } from "./locks.ts";
import type { Store } from "./store.ts";
import { findUnreachable } from "./sweep.ts";

/** What a piece of garbage is: a row with its files, or files without a row. */
type GarbageKind = "layer" | "blob" | "layer-directory" | "blob-file" | "snapshot-directory" | "temporary";

export interface Garbage {
  readonly kind: GarbageKind;
  /** The digest (of a blob) or chainID (of a layer), or the name of the file or directory as text. */
  readonly name: string;
  /** What its removal frees; 0 for a layer whose directory another one uses. */
  readonly sizeBytes: number;
}

/** Files or a directory that have no row. */
export interface Orphan extends Garbage {
  readonly path: HostPath;
}

/** All garbage. While somebody adds to the store, what is being added looks like garbage too. */
export function findGarbage(store: Store): readonly Garbage[] {
  const { layers, blobs } = findUnreachable(store);
  const going = new Set(layers.map((layer) => layer.chainId));
  const kept = new Set(
    listLayers(store.db)
      .filter((layer) => !going.has(layer.chainId))
      .map((layer) => layer.directory),
  );
  const rows: Garbage[] = [];
  for (const { chainId, directory, sizeBytes } of layers) {
    rows.push({ kind: "layer", name: chainId, sizeBytes: kept.has(directory) ? 0 : sizeBytes });
    kept.add(directory); // counted once
  }
  for (const { digest, sizeBytes } of blobs) rows.push({ kind: "blob", name: digest, sizeBytes });
  return [...rows, ...findOrphans(store)];
}

/** The files and directories without a row, and the temporaries that nobody holds. */
export function findOrphans(store: Store): readonly Orphan[] {
  const { layout, db } = store;
  const blobNames = new Set(listBlobs(db).map((blob) => hexOf(blob.digest)));
  const layerNames = new Set(listLayers(db).map((layer) => layer.directory));
  return [
    ...orphansIn(layout.layers, "layer-directory", (name) => layerNames.has(name)),
    ...orphansIn(layout.blobs, "blob-file", (name) => blobNames.has(name)),
    ...orphansIn(layout.snapshots, "snapshot-directory", (name) => isSnapshot(store, name)),
    ...orphansIn(layout.temporary, "temporary", (name) => isHeld(joinHost(layout.temporary, name))),
  ];
}

/** True if `snapshots/NAME` has a row. */
export function isSnapshot(store: Store, name: string): boolean {
  return /^[1-9][0-9]{0,14}$/.test(name) && getSnapshotById(store.db, Number(name)) !== null;
}

function orphansIn(directory: HostPath, kind: GarbageKind, isKept: (name: string) => boolean): readonly Orphan[] {
  return listDirectory(directory)
    .filter(({ name }) => !isKept(name))
    .map(({ name }) => {
      const path = joinHost(directory, name);
      return { kind, name: display(name), sizeBytes: treeSize(path).sizeBytes, path };
    });
}

function isHeld(path: HostPath): boolean {
  using lock = lockExisting(path);
  return lock === null;
}

/** What a file, or a directory with everything below it, takes: allocated bytes and inodes, hard links counted once. */
export function treeSize(path: HostPath): { readonly sizeBytes: number; readonly inodes: number } {
  const root = statAtOrNull(AT_FDCWD, path);
  if (root === null) return { sizeBytes: 0, inodes: 0 };
  const linked = new Set<bigint>();
  let blocks512 = root.blocks512;
  let inodes = 1;
  if ((root.mode & S_IFMT) !== S_IFDIR) return { sizeBytes: blocks512 * 512, inodes };
  try {
    for (const { stat } of walkTree(path)) {
      const isCounted = stat.nlink > 1 && (stat.mode & S_IFMT) !== S_IFDIR && linked.has(stat.ino);
      if (isCounted) continue;
      linked.add(stat.ino);
      blocks512 += stat.blocks512;
      inodes += 1;
    }
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error; // it changes while we look: what was seen is the best answer
  }
  return { sizeBytes: blocks512 * 512, inodes };
}
