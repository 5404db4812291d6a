/** Where everything is in a store. `docs/formats.md` describes the files. */

import { type ChainId, type Digest, hexOf } from "../src/digest.ts";
import { type HostPath, joinHost } from "../src/paths.ts";

/** The paths of a store at `root`. */
export interface StoreLayout {
  readonly root: HostPath;
  readonly database: HostPath;
  /** Blobs by digest: `blobs/sha256/HEX`. */
  readonly blobs: HostPath;
  /** Unpacked layers: `layers/NAME/{diff,files}`. */
  readonly layers: HostPath;
  /** Active snapshots and views: `snapshots/ID/{fs,work,init,merged}`. */
  readonly snapshots: HostPath;
  /** Snapshots of other engines: `held/ID/{fs,work}`. */
  readonly held: HostPath;
  /** Which of these were made since the machine started. */
  readonly heldBoot: HostPath;
  /** What is not finished. Same file system as the rest, so that a rename makes it permanent. */
  readonly temporary: HostPath;
  readonly locks: HostPath;
  /** Volumes with names: `volumes/NAME`. */
  readonly volumes: HostPath;
  /** What is given up when the disk is full. */
  readonly reserve: HostPath;
  /** It is there if layers keep owners in attributes. */
  readonly attributesMark: HostPath;
  /** If it is there: the additional image store that podman reads. */
  readonly podman: HostPath;
  /** It is there if this store's user has been told what containers of his cannot have. */
  readonly toldMark: HostPath;
  /** Stays empty: the lowerdir of an image without layers. */
  readonly empty: HostPath;
}

export function storeLayout(root: HostPath): StoreLayout {
  return {
    root,
    database: joinHost(root, "layerctl.db"),
    blobs: joinHost(root, "blobs", "sha256"),
    layers: joinHost(root, "layers"),
    snapshots: joinHost(root, "snapshots"),
    held: joinHost(root, "held"),
    heldBoot: joinHost(root, "held-boot.json"),
    temporary: joinHost(root, "tmp"),
    locks: joinHost(root, "locks"),
    volumes: joinHost(root, "volumes"),
    reserve: joinHost(root, "reserve"),
    attributesMark: joinHost(root, "owners-in-attributes"),
    podman: joinHost(root, "podman"),
    toldMark: joinHost(root, "told-of-limits"),
    empty: joinHost(root, "empty"),
  };
}

/** The file of a blob. */
export function blobPath(layout: StoreLayout, digest: Digest): HostPath {
  return joinHost(layout.blobs, hexOf(digest));
}

/** The name of a layer's directory when it is first unpacked: layers with the same content may share one later. */
export function layerDirectoryName(chainId: ChainId): string {
  return hexOf(chainId);
}

const HELD = /^held\/\d+$/;

/** True if another engine unpacked the layer, into a snapshot of its own: what is in it was not recorded. */
export function isHeldLayer(directory: string): boolean {
  return HELD.test(directory);
}

/** Where a layer is, for the name in its row. */
export function layerDirectory(layout: StoreLayout, directory: string): HostPath {
  return joinHost(isHeldLayer(directory) ? layout.root : layout.layers, directory);
}

/** The unpacked tree of a layer: a lowerdir. */
export function layerTree(layout: StoreLayout, directory: string): HostPath {
  return joinHost(layerDirectory(layout, directory), isHeldLayer(directory) ? "fs" : "diff");
}

/** The digests of a layer's regular files, recorded while it was unpacked. */
export function layerFileDigests(layout: StoreLayout, directory: string): HostPath {
  return joinHost(layerDirectory(layout, directory), "files");
}

/** The directory of another engine's snapshot. */
export function heldDirectory(layout: StoreLayout, id: number): HostPath {
  return joinHost(layout.held, String(id));
}

/** What a row of `layers` calls the directory of another engine's snapshot. */
export function heldLayerName(id: number): string {
  return `held/${id}`;
}

/** The directory of an active snapshot or view. */
export function snapshotDirectory(layout: StoreLayout, id: number): HostPath {
  return joinHost(layout.snapshots, String(id));
}
