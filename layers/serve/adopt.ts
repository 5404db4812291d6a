/**
 * Layers that the other engine unpacked become the store's: an image that is then imported unpacks nothing, and `gc` keeps
 * them for who needs them. And the other way round: what the store has already takes no second place on the disk.
 *
 * A layer is known by its chainID, which containerd's client gives a snapshot as its name when it has unpacked the layer into
 * one with the key "extract-… CHAINID", and verified the diffID (rootfs/apply.go). A row of `layers` promises that the layer
 * survives a power cut, so it comes once the file system has been synced, which nobody waits for; and never for what was there
 * when the machine started, of which nobody knows what a power cut left.
 */

import { setImmediate } from "node:timers/promises";
import { type ChainId, chainIdOf, type DiffId, isDigest } from "../../src/digest.ts";
import { isErrno, LayerctlError } from "../../src/errors.ts";
import {
  getHeldSnapshot,
  type HeldSnapshotRow,
  isHeldMounted,
  type Labels,
  listAllHeldLayers,
  setHeldUsage,
} from "../../src/meta/held-snapshots.ts";
import { getImage } from "../../src/meta/images.ts";
import { deleteLayer, getLayer, hasLayerAbove, insertLayer } from "../../src/meta/layers.ts";
import { isLayerNeeded, listImagesWithBlob, listLayerBlobs } from "../../src/meta/reachability.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import {
  AT_FDCWD,
  close,
  O_DIRECTORY,
  O_RDONLY,
  openAt,
  RENAME_EXCHANGE,
  renameAt,
  S_IFLNK,
  S_IFMT,
  symlinkAt,
} from "../../src/sys/file.ts";
import { statAtOrNull } from "../../src/sys/stat.ts";
import { syncFileSystem } from "../../src/sys/sync.ts";
import { createTemporary } from "../content/temporary.ts";
import { imageOfRow } from "../image.ts";
import { heldDirectory, heldLayerName, isHeldLayer, layerDirectory } from "../layout.ts";
import { tryAcquireLock } from "../locks.ts";
import type { Store } from "../store.ts";
import { ensureUnpacked } from "../unpack.ts";
import { pathFromHeld } from "./held-directories.ts";
import { asksForIds } from "./remap.ts";
import type { SlowWork, TreeSize } from "./slow-work.ts";
import { lastBeforeThisBoot } from "./this-boot.ts";

/** The label of a layer's diffID, which newer clients set. */
const DIFF_ID_LABEL = "containerd.io/snapshot/diff-id";
/** Before a key or name that came through containerd: its namespace and a number. */
const SCOPE = /^[^/]+\/\d+\//;

/** The layer that a snapshot is when it is committed under `name`; null if it is none, or nobody says which. */
export function layerOfCommit(store: Store, snapshot: HeldSnapshotRow, name: string, labels: Labels): ChainId | null {
  const chainId = name.replace(SCOPE, "");
  const key = snapshot.name.replace(SCOPE, "");
  if (!isDigest(chainId) || !key.startsWith("extract-") || !key.endsWith(` ${chainId}`)) return null;
  const below = snapshot.parent === null ? null : getHeldSnapshot(store.db, snapshot.holder, snapshot.parent.name);
  if (below !== null && below.chainId === null) return null;
  if (asksForIds(snapshot.labels)) return null; // its owners are not the layer's
  const diffId = diffIdOf(labels);
  const isSo = diffId === null || chainIdOf(below?.chainId ?? null, diffId) === chainId;
  return isSo ? (chainId as ChainId) : null;
}

/**
 * What goes from the disk with a snapshot, whose row has been deleted in this transaction: its directory, unless it is a layer
 * that is needed here; and a layer that only this engine used. Where somebody adds to the store meanwhile, that one stays for
 * `gc`.
 */
export function releaseLayer(store: Store, { id, chainId }: HeldSnapshotRow): readonly HostPath[] {
  const own = heldDirectory(store.layout, id);
  const layer = chainId === null ? null : getLayer(store.db, chainId);
  if (layer === null || !isHeldLayer(layer.directory)) return [own];
  const others = layer.directory === heldLayerName(id) ? [] : [own];
  if (isLayerNeeded(store.db, layer.chainId) || hasLayerAbove(store.db, layer.chainId)) return others;
  using lock = tryAcquireLock(store.layout, "gc", "exclusive");
  if (lock === null) return others;
  deleteLayer(store.db, layer.chainId);
  return [...others, layerDirectory(store.layout, layer.directory)];
}

/** Takes committed snapshots into the store, a group at a time. Disposing leaves what has not begun for the next start. */
export class Adopter implements AsyncDisposable {
  readonly counts = { adopted: 0, linked: 0 };
  readonly #store: Store;
  readonly #slow: SlowWork;
  readonly #lastBeforeThisBoot: number;
  #waiting: HeldSnapshotRow[];
  /** Those that lie on the disk twice, and may be mounted. */
  #mounted: HeldSnapshotRow[] = [];
  #running: Promise<void> | null = null;
  #isEnding = false;

  constructor(store: Store, holder: string, slow: SlowWork) {
    this.#store = store;
    this.#slow = slow;
    this.#lastBeforeThisBoot = lastBeforeThisBoot(store);
    this.#waiting = listAllHeldLayers(store.db, holder).filter((each) => isUnsettled(store, each)); // since the last start
    if (this.#waiting.length > 0) this.#start();
  }

  /**
   * Takes in a snapshot that has just been committed, if it is a layer. Where the store has that layer the link is there when
   * this returns: nothing can stand on the snapshot yet.
   */
  take(snapshot: HeldSnapshotRow): void {
    if (this.#isEnding) return;
    if (snapshot.chainId !== null && !this.#linkAtOnce(snapshot)) this.#waiting.push(snapshot);
    this.retry();
  }

  /** Something that may have been mounted is no more. */
  retry(): void {
    this.#waiting.push(...this.#mounted.splice(0));
    if (this.#waiting.length > 0) this.#start();
  }

  /** Unpacks a layer that the store has as a blob only, as those that `layerctl commit` made. Failing is no error here. */
  async makeAvailable(chainId: ChainId): Promise<void> {
    const { db, logger } = this.#store;
    if (getLayer(db, chainId) !== null) return;
    const [digest] = listLayerBlobs(db, chainId);
    const [image] = digest === undefined ? [] : listImagesWithBlob(db, digest);
    const row = image === undefined ? null : getImage(db, image);
    if (row === null) return;
    const { layers } = imageOfRow(this.#store, row);
    const top = layers.findIndex((layer) => layer.chainId === chainId);
    try {
      await ensureUnpacked(this.#store, layers.slice(0, top + 1));
    } catch (error) {
      if (!(error instanceof LayerctlError)) throw error;
      logger.warn("held.unpack", { chainId, error: error.message });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    this.#waiting = [];
    await this.#running;
  }

  #start(): void {
    this.#running ??= this.#run()
      .catch((error: unknown) => this.#store.logger.error("held.adopt", { error: String(error) }))
      .finally(() => {
        this.#running = null;
      });
  }

  /** A failure is none of the caller's, whose snapshot is committed; the next try tells. */
  #linkAtOnce(snapshot: HeldSnapshotRow): boolean {
    try {
      return this.#linkToLayer(snapshot);
    } catch {
      return false;
    }
  }

  async #run(): Promise<void> {
    await setImmediate(); // the caller's answer comes first
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      await this.#adopt(group);
    }
  }

  async #adopt(group: readonly HeldSnapshotRow[]): Promise<void> {
    const { db, layout } = this.#store;
    const measured: { readonly snapshot: HeldSnapshotRow; readonly size: TreeSize }[] = [];
    for (const snapshot of group) {
      if (this.#linkToLayer(snapshot) || snapshot.id <= this.#lastBeforeThisBoot) continue;
      const size = await this.#measure(snapshot);
      if (size !== null) measured.push({ snapshot, size });
    }
    if (measured.length === 0) return;
    const directory = openAt(AT_FDCWD, layout.held, O_RDONLY | O_DIRECTORY);
    try {
      await syncFileSystem(directory);
    } finally {
      close(directory);
    }
    db.transaction("relaxed", () => {
      for (const { snapshot, size } of measured) this.#record(snapshot, size);
    });
    for (const { snapshot } of measured) this.#linkToLayer(snapshot); // where an import was faster
  }

  /** null if it has been removed. */
  async #measure(snapshot: HeldSnapshotRow): Promise<TreeSize | null> {
    try {
      return await this.#slow.measure(joinHost(heldDirectory(this.#store.layout, snapshot.id), "fs"));
    } catch (error) {
      if (isErrno(error, "ENOENT")) return null;
      throw error;
    }
  }

  #record(snapshot: HeldSnapshotRow, { diskBytes, dataBytes, inodes }: TreeSize): void {
    const { db } = this.#store;
    const { id, chainId, parent, labels } = snapshot;
    if (chainId === null || !isThere(this.#store, snapshot)) return;
    setHeldUsage(db, id, diskBytes, inodes);
    if (getLayer(db, chainId) !== null) return;
    const below = parent === null ? null : getHeldSnapshot(db, snapshot.holder, parent.name);
    if (below !== null && (below.chainId === null || getLayer(db, below.chainId) === null)) return; // it was there before this boot
    insertLayer(db, {
      chainId,
      parent: below?.chainId ?? null,
      diffId: parent === null ? (chainId as string as DiffId) : diffIdOf(labels),
      directory: heldLayerName(id),
      sizeBytes: dataBytes,
      inodes,
      selfContained: false, // what it took from the layers below is not known
      createdAtMs: Date.now(),
    });
    this.counts.adopted += 1;
  }

  /**
   * Puts a link to the store's layer in the place of what was unpacked once more. What may be below a live mount stays until
   * that is gone. False if the store has no other.
   */
  #linkToLayer(snapshot: HeldSnapshotRow): boolean {
    const { id, chainId } = snapshot;
    const layer = chainId === null ? null : getLayer(this.#store.db, chainId);
    if (layer === null || layer.directory === heldLayerName(id)) return false;
    if (!isThere(this.#store, snapshot)) return true;
    if (isHeldMounted(this.#store.db, id)) {
      this.#mounted.push(snapshot);
      return true;
    }
    const temporary = createTemporary(this.#store.layout, "trash");
    const link = joinHost(temporary.path, "fs");
    symlinkAt(pathFromHeld(this.#store, layer.directory), AT_FDCWD, link);
    renameAt(AT_FDCWD, link, AT_FDCWD, joinHost(heldDirectory(this.#store.layout, id), "fs"), RENAME_EXCHANGE);
    this.counts.linked += 1;
    void this.#slow
      .remove(link) // what was unpacked
      .then(() => temporary[Symbol.asyncDispose]())
      .catch((error: unknown) => this.#store.logger.warn("held.discard", { path: link, error: String(error) }));
    return true;
  }
}

/** True if it is still the snapshot it was: nobody has removed it. */
function isThere(store: Store, { id, holder, name }: HeldSnapshotRow): boolean {
  return getHeldSnapshot(store.db, holder, name)?.id === id;
}

/** True if it is neither a layer of the store nor a link to one. */
function isUnsettled(store: Store, { id, chainId }: HeldSnapshotRow): boolean {
  const directory = chainId === null ? null : (getLayer(store.db, chainId)?.directory ?? null);
  if (directory === null) return true;
  if (directory === heldLayerName(id)) return false;
  const stat = statAtOrNull(AT_FDCWD, joinHost(heldDirectory(store.layout, id), "fs"));
  return stat !== null && (stat.mode & S_IFMT) !== S_IFLNK;
}

function diffIdOf(labels: Labels): DiffId | null {
  const text = labels[DIFF_ID_LABEL] ?? "";
  return isDigest(text) ? (text as DiffId) : null;
}
