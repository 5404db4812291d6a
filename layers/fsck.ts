/**
 * Checks a store: rows against files and blobs against their digests; with `deep` also every file of every unpacked layer
 * against the digest recorded when it was unpacked. What is found is a report; only damage of the store's own database
 * that keeps it from being opened is thrown.
 */

import { existsSync } from "node:fs";
import { parseDigest } from "../src/digest.ts";
import { IntegrityError } from "../src/errors.ts";
import { getBlob, listBlobs } from "../src/meta/blobs.ts";
import { type HeldSnapshotRow, isHeld, listHeldSnapshots } from "../src/meta/held-snapshots.ts";
import { listLayers } from "../src/meta/layers.ts";
import { listImagesWithBlob } from "../src/meta/reachability.ts";
import { getSnapshotById } from "../src/meta/snapshots.ts";
import { bytesOf, display, joinHost } from "../src/paths.ts";
import { type BlobsChecked, checkBlobs } from "./fsck/check-blobs.ts";
import { checkLayers, type LayersChecked } from "./fsck/check-layers.ts";
import type { Finding } from "./fsck/finding.ts";
import { type FsckProgress, ProgressCounter } from "./fsck/progress.ts";
import { dropBlob, dropLayers, refuseMounted } from "./fsck/repair.ts";
import { findOrphans, findStrays, type Orphan, type Stray } from "./garbage.ts";
import type { Image } from "./image.ts";
import { listImages } from "./images.ts";
import { heldDirectory } from "./layout.ts";
import { acquireLock } from "./locks.ts";
import { followImages } from "./podman/follow.ts";
import { nameOfImage } from "./resolve-image.ts";
import { listSnapshots, type Snapshot } from "./snapshots/snapshots.ts";
import type { Store } from "./store.ts";

export type { Finding } from "./fsck/finding.ts";

export interface FsckOptions {
  /** Read every file of every unpacked layer too. */
  readonly deep?: boolean;
  /** Take away what is damaged and can be made again, and blobs that are damaged. */
  readonly repair?: boolean;
  readonly signal?: AbortSignal;
  /** Called once if somebody else is at work in the store, so that it has to wait. */
  readonly onWait?: () => void;
  /** Called about ten times a second. */
  readonly onProgress?: (progress: FsckProgress) => void;
}

export interface FsckReport {
  /** Errors first: of the database, blobs, layers, images, snapshots; then garbage. */
  readonly findings: readonly Finding[];
  /** False if there is an error that has not been repaired. */
  readonly isSound: boolean;
  readonly checked: {
    readonly blobs: number;
    readonly layers: number;
    readonly images: number;
    readonly snapshots: number;
  };
}

/**
 * Checks the store, and repairs it if told to. Only a repair waits for those who add to the store; without one, what is
 * being added meanwhile may be reported as garbage.
 * @throws {ConflictError} `ERR_LAYER_MOUNTED` if a layer to repair is mounted: nothing has been repaired then
 * @throws what `signal` was aborted with
 */
export async function checkStore(store: Store, options: FsckOptions = {}): Promise<FsckReport> {
  const report = await lockAndCheck(store, options);
  if (options.repair) await followImages(store, { signal: options.signal });
  return report;
}

async function lockAndCheck(store: Store, options: FsckOptions): Promise<FsckReport> {
  const { signal, onWait, repair = false } = options;
  await using _lock = await acquireLock(store.layout, "gc", repair ? "exclusive" : "shared", {
    ...(signal === undefined ? {} : { signal }),
    ...(onWait === undefined ? {} : { onWait }),
  });
  const database = store.db.check();
  try {
    return await checkContents(store, database.map(damagedDatabase), options);
  } catch (error) {
    if (!(error instanceof IntegrityError) || database.length === 0) throw error;
    const checked = { blobs: 0, layers: 0, images: 0, snapshots: 0 };
    return { findings: database.map(damagedDatabase), isSound: false, checked }; // its rows tell nothing more
  }
}

async function checkContents(
  store: Store,
  database: readonly Finding[],
  { signal, deep = false, repair = false, onProgress }: FsckOptions,
): Promise<FsckReport> {
  const progress = new ProgressCounter(bytesToRead(store, deep), onProgress);
  const blobs = await checkBlobs(store, progress, signal);
  const layers = await checkLayers(store, { deep, goodBlobs: blobs.good, progress, signal });
  const [images, snapshots] = [listImages(store), listSnapshots(store)];
  const findings = [
    ...database,
    ...(repair ? await repaired(store, blobs, layers) : [...blobs.findings, ...layers.findings]),
    ...images.flatMap((image) => checkImage(store, image, blobs)),
    ...snapshots.flatMap((snapshot) => checkSnapshot(store, snapshot)),
    ...listHeldSnapshots(store.db).flatMap((snapshot) => checkHeldSnapshot(store, snapshot)),
    ...findOrphans(store).map((orphan) => garbage(orphan, "nothing needs it", '"layerctl gc" removes it')),
    ...findStrays(store).map((stray) => garbage(stray, ...mountedStill(stray))),
  ];
  return {
    findings,
    isSound: findings.every((finding) => finding.severity === "garbage" || finding.repaired),
    checked: {
      blobs: blobs.good.size + blobs.bad.length,
      layers: listLayers(store.db).length,
      images: images.length,
      snapshots: snapshots.length,
    },
  };
}

function bytesToRead(store: Store, deep: boolean): number {
  const blobs = listBlobs(store.db).map((blob) => blob.sizeBytes);
  const layers = deep ? listLayers(store.db).map((layer) => layer.sizeBytes) : [];
  return [...blobs, ...layers].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}

/** Repairs what can be; the findings say so. */
async function repaired(store: Store, blobs: BlobsChecked, layers: LayersChecked): Promise<readonly Finding[]> {
  refuseMounted(store, layers.repairable);
  await dropLayers(store, layers.repairable);
  for (const digest of blobs.bad) await dropBlob(store, digest);
  const [chains, digests] = [
    new Set<string>(layers.repairable.map((layer) => layer.chainId)),
    new Set<string>(blobs.bad),
  ];
  return [...blobs.findings, ...layers.findings].map((finding) => {
    if (chains.has(finding.subject)) {
      return { ...finding, advice: "removed; the next mount unpacks it again", repaired: true };
    }
    if (!digests.has(finding.subject)) return finding;
    const isNeeded = listImagesWithBlob(store.db, parseDigest(finding.subject)).length > 0;
    return { ...finding, advice: `removed; ${finding.advice}`, repaired: !isNeeded };
  });
}

function damagedDatabase(message: string): Finding {
  const advice = "keep a copy of the store, then import its images into a new one";
  return { kind: "database-damaged", severity: "error", subject: "layerctl.db", message, advice, repaired: false };
}

/** Every blob of the image has a row, or had one until now. */
function checkImage(store: Store, image: Image, blobs: BlobsChecked): readonly Finding[] {
  const needed = [image.digest, image.configDigest, ...image.layers.map((layer) => layer.descriptor.digest)];
  const missing = needed.filter((digest) => getBlob(store.db, digest) === null && !blobs.bad.includes(digest));
  if (missing.length === 0) return [];
  const name = nameOfImage(store, image.digest);
  const message = `${missing.length} of its ${needed.length} blobs are not in the store: ${missing.join(", ")}`;
  const advice = `import "${name}" again, or remove it with "layerctl rmi"`;
  return [{ kind: "image-incomplete", severity: "error", subject: image.digest, message, advice, repaired: false }];
}

function checkSnapshot(store: Store, snapshot: Snapshot): readonly Finding[] {
  const parts = [snapshot.upperdir, snapshot.workdir, snapshot.merged].filter((path) => path !== null);
  const missing = parts.filter((path) => !existsSync(bytesOf(path)));
  if (missing.length === 0 || getSnapshotById(store.db, snapshot.id) === null) return []; // removed meanwhile
  const message = `${missing.map((path) => `"${display(path)}"`).join(", ")} missing`;
  const isLost = snapshot.upperdir !== null && missing.includes(snapshot.upperdir);
  const advice = `${isLost ? "its changes are lost; " : ""}remove it with "layerctl rm ${snapshot.name}"`;
  return [{ kind: "snapshot-incomplete", severity: "error", subject: snapshot.name, message, advice, repaired: false }];
}

/** An active one without its directories has lost nothing that was synced: they are made again when it is mounted. */
function checkHeldSnapshot(store: Store, { id, kind, holder, name }: HeldSnapshotRow): readonly Finding[] {
  const tree = joinHost(heldDirectory(store.layout, id), "fs");
  if (kind !== "committed" || existsSync(bytesOf(tree)) || !isHeld(store.db, id)) return [];
  const message = `"${display(tree)}" missing`;
  const advice = `remove it, or its image, in ${holder}, then pull that again`;
  return [{ kind: "held-incomplete", severity: "error", subject: name, message, advice, repaired: false }];
}

function garbage({ kind, name, sizeBytes }: Orphan, state: string, advice: string): Finding {
  const message = `${state}; it takes ${sizeBytes} bytes`;
  return { kind: "garbage", severity: "garbage", subject: `${kind} "${name}"`, message, advice, repaired: false };
}

/** What is said of a directory that `gc` leaves alone, and what to do. */
function mountedStill({ target, pid }: Stray): [state: string, advice: string] {
  const path = display(target);
  if (pid === null) {
    const unmount = `save what is in it, then "layerctl umount ${path}" and "layerctl gc" remove it`;
    return [`no snapshot has it, but it is mounted at "${path}"`, unmount];
  }
  const there = `it is mounted at "${path}" in the mount namespace of process ${pid}`;
  return [
    `no snapshot has it, but ${there}`,
    `unmount it there (nsenter --mount --target ${pid}), then "layerctl gc" removes it`,
  ];
}
