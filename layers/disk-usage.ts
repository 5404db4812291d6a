/**
 * What the store holds, in bytes of data, as docker and podman count: what a disk takes for it depends on the disk. A
 * layer's size is that of its unpacked files, from its row; a snapshot's is measured. Layers that share a directory, and
 * blobs that several images use, count once.
 */

import { listBlobs } from "../src/meta/blobs.ts";
import { listHeldSnapshots } from "../src/meta/held-snapshots.ts";
import { listLayers } from "../src/meta/layers.ts";
import { joinHost } from "../src/paths.ts";
import { findGarbage, type Garbage, treeSize } from "./garbage.ts";
import type { Image } from "./image.ts";
import { listImages } from "./images.ts";
import { heldDirectory, heldLayerName } from "./layout.ts";
import { listSnapshots, type Snapshot } from "./snapshots/snapshots.ts";
import type { Store } from "./store.ts";

/** Bytes that other images use too, and bytes that go with this image. */
interface Shares {
  readonly sharedBytes: number;
  readonly exclusiveBytes: number;
}

interface ImageUsage {
  readonly image: Image;
  /** Unpacked. */
  readonly layers: Shares;
  /** As stored: manifest, config and compressed layers. */
  readonly blobs: Shares;
}

interface SnapshotUsage {
  readonly snapshot: Snapshot;
  /** The changes alone; 0 for a view. */
  readonly sizeBytes: number;
  readonly inodes: number;
}

/** What another engine holds that is no layer of the store: containers' changes, and what it unpacked for itself. */
interface HeldUsage {
  readonly holder: string;
  readonly snapshots: number;
  readonly sizeBytes: number;
  readonly inodes: number;
}

export interface UsageTotal {
  /** All of it, and of that: used by several images, by one, by none. */
  readonly totalBytes: number;
  readonly sharedBytes: number;
  readonly exclusiveBytes: number;
  /** What `gc` would free, files without a row included. */
  readonly reclaimableBytes: number;
}

export interface DiskUsage {
  /** As `listImages` sorts them. */
  readonly images: readonly ImageUsage[];
  /** Oldest first. */
  readonly snapshots: readonly SnapshotUsage[];
  /** One an engine. */
  readonly held: readonly HeldUsage[];
  readonly layers: UsageTotal;
  readonly blobs: UsageTotal;
  /** What dead processes left in `tmp`, and snapshot directories without a row. */
  readonly leftoverBytes: number;
}

const NOTHING: UsageTotal = { totalBytes: 0, sharedBytes: 0, exclusiveBytes: 0, reclaimableBytes: 0 };

/** Of a store that is not there. */
export const NO_USAGE: DiskUsage = {
  ...{ images: [], snapshots: [], held: [] },
  ...{ layers: NOTHING, blobs: NOTHING, leftoverBytes: 0 },
};

/** Measures the store. It may change meanwhile; nothing waits. */
export function measureDiskUsage(store: Store): DiskUsage {
  const images = listImages(store);
  const blobs = new Pool(listBlobs(store.db).map((blob) => [blob.digest, blob.sizeBytes]));
  const layerRows = listLayers(store.db);
  const layers = new Pool(layerRows.map((layer) => [layer.directory, layer.sizeBytes]));
  const directoryOf = new Map(layerRows.map((layer) => [layer.chainId, layer.directory]));
  const blobsOf = (image: Image): readonly string[] => [
    image.digest,
    image.configDigest,
    ...image.layers.map((layer) => layer.descriptor.digest),
  ];
  const layersOf = (image: Image): readonly string[] =>
    image.layers.map((layer) => directoryOf.get(layer.chainId)).filter((name) => name !== undefined);
  for (const image of images) {
    blobs.use(blobsOf(image));
    layers.use(layersOf(image));
  }
  const garbage = findGarbage(store);
  return {
    images: images.map((image) => ({
      image,
      layers: layers.sharesOf(layersOf(image)),
      blobs: blobs.sharesOf(blobsOf(image)),
    })),
    snapshots: listSnapshots(store).map(measureSnapshot),
    held: measureHeld(store, new Set(layerRows.map((layer) => layer.directory))),
    layers: layers.total(sumOf(garbage, "layer", "layer-directory")),
    blobs: blobs.total(sumOf(garbage, "blob", "blob-file")),
    leftoverBytes: sumOf(garbage, "temporary", "snapshot-directory"),
  };
}

function measureSnapshot(snapshot: Snapshot): SnapshotUsage {
  const size = snapshot.upperdir === null ? { sizeBytes: 0, inodes: 0 } : treeSize(snapshot.upperdir);
  return { snapshot, ...size };
}

/** Where `fs` is a link, the layer it leads to counts with the layers. */
function measureHeld(store: Store, layers: ReadonlySet<string>): readonly HeldUsage[] {
  const own = listHeldSnapshots(store.db).filter(({ id }) => !layers.has(heldLayerName(id)));
  const measured = own.map(({ id, holder }) => ({
    holder,
    ...treeSize(joinHost(heldDirectory(store.layout, id), "fs")),
  }));
  return [...Map.groupBy(measured, ({ holder }) => holder)].map(([holder, snapshots]) => ({
    holder,
    snapshots: snapshots.length,
    sizeBytes: snapshots.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    inodes: snapshots.reduce((sum, { inodes }) => sum + inodes, 0),
  }));
}

function sumOf(garbage: readonly Garbage[], ...kinds: readonly Garbage["kind"][]): number {
  return garbage.filter(({ kind }) => kinds.includes(kind)).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Things with a size, and how many images use each. */
class Pool {
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #users = new Map<string, number>();

  constructor(sizes: Iterable<readonly [string, number]>) {
    this.#sizes = new Map(sizes);
  }

  /** Counts one more user for each of `names`, which may repeat. */
  use(names: readonly string[]): void {
    for (const name of new Set(names)) this.#users.set(name, (this.#users.get(name) ?? 0) + 1);
  }

  sharesOf(names: readonly string[]): Shares {
    return this.#split(new Set(names));
  }

  total(reclaimableBytes: number): UsageTotal {
    const totalBytes = [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
    return { totalBytes, ...this.#split(this.#sizes.keys()), reclaimableBytes };
  }

  #split(names: Iterable<string>): Shares {
    let [sharedBytes, exclusiveBytes] = [0, 0];
    for (const name of names) {
      const users = this.#users.get(name) ?? 0;
      const size = this.#sizes.get(name) ?? 0;
      if (users > 1) sharedBytes += size;
      else if (users === 1) exclusiveBytes += size;
    }
    return { sharedBytes, exclusiveBytes };
  }
}
