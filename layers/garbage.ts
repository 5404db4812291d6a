/**
 * What is in the store and reached by nothing: layers and blobs that no image or snapshot uses, files and directories
 * without a row, temporaries whose owner is dead. A row without files is none of this: that is damage, and for `fsck`.
 */

import { existsSync } from "node:fs";
import { hexOf } from "../src/digest.ts";
import { isErrno } from "../src/errors.ts";
import { listBlobs } from "../src/meta/blobs.ts";
import { isHeld } from "../src/meta/held-snapshots.ts";
import { isDirectoryUsed, listLayers } from "../src/meta/layers.ts";
import { getSnapshotById } from "../src/meta/snapshots.ts";
import { bytesOf, display, type HostPath, joinHost } from "../src/paths.ts";
import { listDirectory } from "../src/sys/directory.ts";
import { AT_FDCWD, S_IFDIR, S_IFMT, S_IFREG } from "../src/sys/file.ts";
import { type Stat, statAtOrNull } from "../src/sys/stat.ts";
import { walkTree } from "../src/sys/walk-tree.ts";
import { heldLayerName } from "./layout.ts";
import { type ForeignMount, foreignMounts, type LiveMount, liveMounts } from "./live-mounts.ts";
import { lockExisting } from "./locks.ts";
import type { Store } from "./store.ts";
import { findUnreachable } from "./sweep.ts";

/** What a piece of garbage is: a row with its files, or files without a row. */
type GarbageKind =
  | "layer"
  | "blob"
  | "layer-directory"
  | "blob-file"
  | "snapshot-directory"
  | "held-directory"
  | "temporary";

export interface Garbage {
  readonly kind: GarbageKind;
  /** The digest (of a blob) or chainID (of a layer), or the name of the file or directory as text. */
  readonly name: string;
  /** The data that goes with it, in bytes; 0 for a layer whose directory another one uses. */
  readonly sizeBytes: number;
}

/** Files or a directory that have no row. */
export interface Orphan extends Garbage {
  readonly path: HostPath;
}

/** A directory that lost its row and is mounted all the same: somebody works there, so it is no garbage yet. */
export interface Stray extends Orphan {
  readonly target: HostPath;
  /** A process in the mount namespace where it is; null: this one. */
  readonly pid: number | null;
}

/** All garbage. While somebody adds to the store, what is being added looks like garbage too. */
export function findGarbage(store: Store): readonly Garbage[] {
  return [...findUnneeded(store), ...findOrphans(store)];
}

/** Layers and blobs that have a row, and nothing needs. */
export function findUnneeded(store: Store): readonly Garbage[] {
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
  return rows;
}

/** The files and directories without a row that nobody has mounted, and the temporaries that nobody holds. */
export function findOrphans(store: Store): readonly Orphan[] {
  const { layout, db } = store;
  const blobNames = new Set(listBlobs(db).map((blob) => hexOf(blob.digest)));
  const layerNames = new Set(listLayers(db).map((layer) => layer.directory));
  return [
    ...orphansIn(layout.layers, "layer-directory", (name) => layerNames.has(name)),
    ...orphansIn(layout.blobs, "blob-file", (name) => blobNames.has(name)),
    ...lostSnapshots(store).filter((orphan) => mountOf(store, orphan) === undefined),
    ...(existsSync(bytesOf(layout.held)) // not in a store that an older layerctl made
      ? orphansIn(layout.held, "held-directory", (name) => isHeldDirectory(store, name))
      : []),
    ...orphansIn(layout.temporary, "temporary", (name) => isLocked(joinHost(layout.temporary, name))),
  ];
}

/** The directories without a row that are mounted, in whatever mount namespace. */
export function findStrays(store: Store): readonly Stray[] {
  return lostSnapshots(store).flatMap((orphan) => {
    const mount = mountOf(store, orphan);
    return mount === undefined ? [] : [{ ...orphan, target: mount.target, pid: "pid" in mount ? mount.pid : null }];
  });
}

function lostSnapshots(store: Store): readonly Orphan[] {
  return orphansIn(store.layout.snapshots, "snapshot-directory", (name) => isSnapshot(store, name));
}

function mountOf(store: Store, { name }: Orphan): LiveMount | ForeignMount | undefined {
  const isOf = (mount: LiveMount): boolean => String(mount.snapshot) === name;
  return liveMounts(store).find(isOf) ?? foreignMounts(store).find(isOf);
}

/** True if `snapshots/NAME` has a row. */
export function isSnapshot(store: Store, name: string): boolean {
  return /^[1-9][0-9]{0,14}$/.test(name) && getSnapshotById(store.db, Number(name)) !== null;
}

/** True if `held/NAME` is another engine's snapshot, or a layer that it unpacked. */
export function isHeldDirectory({ db }: Store, name: string): boolean {
  return (
    /^[1-9][0-9]{0,14}$/.test(name) && (isHeld(db, Number(name)) || isDirectoryUsed(db, heldLayerName(Number(name))))
  );
}

function orphansIn(directory: HostPath, kind: GarbageKind, isKept: (name: string) => boolean): readonly Orphan[] {
  return listDirectory(directory)
    .filter(({ name }) => !isKept(name))
    .map(({ name }) => {
      const path = joinHost(directory, name);
      return { kind, name: display(name), sizeBytes: treeSize(path).sizeBytes, path };
    });
}

function isLocked(path: HostPath): boolean {
  using lock = lockExisting(path);
  return lock === null;
}

/**
 * What a file, or a directory with everything below it, holds: bytes of data in regular files, as a layer's row counts
 * them (holes are none, hard links count once), and inodes.
 */
export function treeSize(path: HostPath): { readonly sizeBytes: number; readonly inodes: number } {
  const root = statAtOrNull(AT_FDCWD, path);
  if (root === null) return { sizeBytes: 0, inodes: 0 };
  const linked = new Set<bigint>();
  let sizeBytes = dataBytes(root);
  let inodes = 1;
  if ((root.mode & S_IFMT) !== S_IFDIR) return { sizeBytes, inodes };
  try {
    for (const { stat } of walkTree(path)) {
      const isCounted = stat.nlink > 1 && (stat.mode & S_IFMT) !== S_IFDIR && linked.has(stat.ino);
      if (isCounted) continue;
      linked.add(stat.ino);
      sizeBytes += dataBytes(stat);
      inodes += 1;
    }
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error; // it changes while we look: what was seen is the best answer
  }
  return { sizeBytes, inodes };
}

function dataBytes({ mode, sizeBytes, blocks512 }: Stat): number {
  return (mode & S_IFMT) === S_IFREG ? Math.min(sizeBytes, blocks512 * 512) : 0;
}
