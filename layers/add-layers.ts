/**
 * Adds layers to a store: blobs and unpacked trees, several at once, each at most once whatever the number of images,
 * calls or processes that want it. A layer that is there is left alone; one with the same content that needs nothing
 * of the layers below it lends its directory.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type ChainId, chainIdOf, type DiffId, type Digest } from "../src/digest.ts";
import { IntegrityError, isErrno, whileWriting } from "../src/errors.ts";
import { findSelfContained, getLayer, insertLayer, isDirectoryUsed, type LayerRow } from "../src/meta/layers.ts";
import { type LayerForm, NATIVE } from "../src/overlay/layer-form.ts";
import { bytesOf, display, type HostPath, joinHost } from "../src/paths.ts";
import { AT_FDCWD, RENAME_NOREPLACE, renameAt } from "../src/sys/file.ts";
import { removeTree } from "../src/sys/remove-tree.ts";
import { type Compression, SNIFF_BYTES, sniffCompression } from "./apply/decompress.ts";
import { updateFileDigests } from "./apply/file-digests.ts";
import { GroupCommit } from "./apply/group-commit.ts";
import type { ApplyLimits } from "./apply/limits.ts";
import { isSelfContained, stitch } from "./apply/stitch.ts";
import type { UnpackResult } from "./apply/unpack-layer.ts";
import type { Unpacked } from "./apply/unpacker.ts";
import { WorkerPool } from "./apply/worker-pool.ts";
import { Writeback } from "./apply/writeback.ts";
import { createTemporary } from "./content/temporary.ts";
import type { BlobLocation } from "./formats/source.ts";
import { layerDirectoryName, layerTree } from "./layout.ts";
import { acquireLock, type Lock } from "./locks.ts";
import { Slots } from "./slots.ts";
import type { Store } from "./store.ts";
import { chooseForm } from "./store-form.ts";

/**
 * Layers under way at once, each with a few open files. More than there are cores: those that are unpacked wait for the
 * ones below them.
 */
const MAX_UNDER_WAY = 64;

/** A layer to add. What is null is not claimed, and found out. */
export interface LayerRequest {
  readonly location: BlobLocation;
  readonly digest: Digest | null;
  readonly sizeBytes: number | null;
  readonly diffId: DiffId | null;
  /** The chainID below; null for a base layer. */
  readonly parent: ChainId | null;
  /** Fulfilled when the layer below is in the store. */
  readonly parentAdded: Promise<unknown>;
}

/** A layer that is in the store. */
export interface AddedLayer {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly compression: Compression;
}

/** Disposing it ends what is under way and removes what is not finished. */
export class LayerAdder implements AsyncDisposable {
  readonly #store: Store;
  readonly #limits: ApplyLimits;
  readonly #slots = new Slots(MAX_UNDER_WAY);
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #pool: WorkerPool;
  readonly #writeback: Writeback;
  readonly #commits: GroupCommit;
  readonly #underWay = new Set<Promise<unknown>>();
  /** null: blobs are verified and stored, and unpacked when somebody can. */
  readonly #form: LayerForm | null;
  #skippedBytes = 0;

  /** `layers`: how many will be asked for at most, so that no idle thread is started. */
  constructor(store: Store, limits: ApplyLimits, layers: number, signal?: AbortSignal) {
    this.#store = store;
    this.#limits = limits;
    this.#form = chooseForm(store);
    this.#signal = signal === undefined ? this.#ending.signal : AbortSignal.any([signal, this.#ending.signal]);
    this.#pool = new WorkerPool(Math.max(1, Math.min(availableParallelism(), layers)));
    this.#writeback = new Writeback(store.layout.layers);
    this.#commits = new GroupCommit(store, this.#writeback);
  }

  /** True if layers become lowerdirs; false if only their blobs are stored. */
  get unpacks(): boolean {
    return this.#form !== null;
  }

  /** Bytes of blobs that are done with: read, or there already. */
  get bytesDone(): number {
    return this.#pool.bytesRead + this.#skippedBytes;
  }

  /**
   * Adds a layer, or finds it. Layers of one stack may be asked for together, base first.
   * @throws {IntegrityError} if it is not what is claimed, malformed or hostile; nothing of it stays then
   */
  add(request: LayerRequest): Promise<AddedLayer> {
    const added = this.#add(request).catch((error) => {
      throw whileWriting(bytesOf(this.#store.layout.root).toString(), error);
    });
    this.#underWay.add(added);
    const done = (): unknown => this.#underWay.delete(added);
    added.then(done, done);
    return added;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#pool[Symbol.asyncDispose]();
    await Promise.allSettled(this.#underWay);
    await this.#writeback[Symbol.asyncDispose]();
  }

  async #add(request: LayerRequest): Promise<AddedLayer> {
    if (request.diffId === null) return await this.#addUnknown(request);
    const chainId = chainIdOf(request.parent, request.diffId);
    const present = this.#present(request, chainId, request.diffId);
    if (present !== null) return present;
    using _slot = await this.#slots.take(); // base first, so that no layer waits for one that cannot start
    await using _lock = await this.#lockLayer(chainId);
    return this.#present(request, chainId, request.diffId) ?? (await this.#addMissing(request));
  }

  /** A layer whose identity only its bytes tell. */
  async #addUnknown(request: LayerRequest): Promise<AddedLayer> {
    await using temporary = createTemporary(this.#store.layout, "layer");
    const result = await this.#unpack(request, temporary.path, true, true);
    await using _lock = await this.#lockLayer(chainIdOf(request.parent, result.diffId));
    return await this.#finish(request, result, temporary.path);
  }

  async #addMissing(request: LayerRequest): Promise<AddedLayer> {
    const { db, blobs, layout } = this.#store;
    await using temporary = createTemporary(layout, "layer");
    const { parent, diffId, digest } = request;
    const isMissing =
      diffId === null || (getLayer(db, chainIdOf(parent, diffId)) ?? findSelfContained(db, diffId)) === null;
    const keepBlob = digest === null || !blobs.has(digest);
    const result = await this.#unpack(request, temporary.path, isMissing, keepBlob);
    return await this.#finish(request, result, temporary.path);
  }

  /** What is there already; null if the blob or the unpacked tree is not. */
  #present(request: LayerRequest, chainId: ChainId, diffId: DiffId): AddedLayer | null {
    const { db, blobs } = this.#store;
    const { digest } = request;
    if (digest === null || !blobs.has(digest)) return null;
    if (this.unpacks && getLayer(db, chainId) === null) return null;
    const sizeBytes = blobs.sizeOf(digest) ?? 0;
    this.#skippedBytes += sizeBytes;
    return { chainId, diffId, digest, sizeBytes, compression: sniffCompression(firstBytes(blobs.path(digest))) };
  }

  #lockLayer(chainId: ChainId): Promise<Lock> {
    const name = `layer-${layerDirectoryName(chainId)}`;
    return acquireLock(this.#store.layout, name, "exclusive", { signal: this.#signal });
  }

  #unpack(request: LayerRequest, directory: HostPath, isWanted: boolean, keepBlob: boolean): Promise<UnpackResult> {
    const form = this.#form ?? NATIVE;
    const unpack = isWanted && this.unpacks;
    const { location, digest, sizeBytes, diffId } = request;
    const expected = { expectedDigest: digest, expectedSizeBytes: sizeBytes, expectedDiffId: diffId };
    const task = { location, directory, unpack, keepBlob, ...expected, limits: this.#limits, form };
    return this.#writeback.during(() => this.#pool.unpack(task));
  }

  /** Finishes the tree on top of its parents and makes everything permanent. */
  async #finish(request: LayerRequest, result: UnpackResult, directory: HostPath): Promise<AddedLayer> {
    await request.parentAdded;
    const { layout, db, blobs } = this.#store;
    const { diffId, digest, sizeBytes, compression, unpacked } = result;
    const chainId = chainIdOf(request.parent, diffId);
    const lender = getLayer(db, chainId) ?? findSelfContained(db, diffId);
    const tree = lender === null ? unpacked : null;
    for (const { name, entries, path } of tree?.skippedXattrs ?? []) {
      const shown = name === null ? "(others)" : display(name);
      this.#store.logger.warn("layer.xattr.skipped", { name: shown, entries, first: display(path), layer: digest });
    }
    if (tree !== null) {
      const below = request.parent === null ? [] : layerStack(this.#store, request.parent);
      const stitched = stitch(directory, tree, below, this.#form ?? NATIVE);
      updateFileDigests(joinHost(directory, "files"), joinHost(directory, "diff"), stitched);
    }
    const blob = blobs.has(digest) ? null : { temporary: joinHost(directory, "blob"), digest, sizeBytes };
    const name = tree === null ? (lender?.directory ?? "") : this.#freeName(chainId);
    await this.#commits.add({
      blob,
      moveIn: () => {
        if (tree !== null) moveOver(directory, joinHost(layout.layers, name));
      },
      record: () => {
        if (tree !== null || lender !== null) insertLayer(db, rowOf(request, diffId, name, lender, tree));
      },
    });
    return { chainId, diffId, digest, sizeBytes, compression };
  }

  /** The layer's own name, unless a layer that shares its content still lives under it. */
  #freeName(chainId: ChainId): string {
    const name = layerDirectoryName(chainId);
    return isDirectoryUsed(this.#store.db, name) ? `${name}-${Date.now()}` : name;
  }
}

function rowOf(
  request: LayerRequest,
  diffId: DiffId,
  directory: string,
  lender: LayerRow | null,
  tree: Unpacked | null,
): LayerRow {
  return {
    chainId: chainIdOf(request.parent, diffId),
    parent: request.parent,
    diffId,
    directory,
    sizeBytes: tree?.sizeBytes ?? lender?.sizeBytes ?? 0,
    inodes: tree?.inodes ?? lender?.inodes ?? 0,
    selfContained: tree === null ? (lender?.selfContained ?? false) : isSelfContained(tree),
    createdAtMs: Date.now(),
  };
}

/** The lowerdirs of a stack whose top is `top`, top first. Every layer of it must be unpacked. */
export function layerStack(store: Store, top: ChainId): readonly HostPath[] {
  const trees: HostPath[] = [];
  for (let chainId: ChainId | null = top; chainId !== null; ) {
    const row: LayerRow | null = getLayer(store.db, chainId);
    if (row === null) {
      const state = "it is not in the store any more; import the image again";
      throw new IntegrityError("ERR_LAYER_MISSING", `Cannot use layer "${chainId}": ${state}`, { data: { chainId } });
    }
    trees.push(layerTree(store.layout, row.directory));
    chainId = row.parent;
  }
  return trees;
}

function firstBytes(path: HostPath): Buffer {
  const fd = openSync(bytesOf(path), "r");
  try {
    const head = Buffer.alloc(SNIFF_BYTES);
    return head.subarray(0, readSync(fd, head));
  } finally {
    closeSync(fd);
  }
}

/** Renames a directory; what lies at `to` has no row and is an interrupted import's. */
function moveOver(from: HostPath, to: HostPath): void {
  try {
    renameAt(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    removeTree(to);
    renameAt(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
  }
}
