/**
 * The snapshots of another engine in this store, by containerd's contract (core/snapshots/snapshotter.go): active ones and
 * views on top of committed ones, keys and names in one space. `grpc-service.ts` is how containerd reaches it.
 *
 * Order: rows say what there is, and are durable before a caller hears of them. Directories are made inside the transaction of
 * their row, so that `gc`, which looks under the database's lock, never takes one. That of an active one or a view that a power
 * cut took is made again; who hears that one is committed finds it there. A directory is taken away once its row's removal is
 * durable.
 */

import { type ChainId, isDigest } from "../../src/digest.ts";
import { isErrno } from "../../src/errors.ts";
import {
  commitHeldSnapshot,
  deleteHeldSnapshot,
  getHeldSnapshot,
  type HeldSnapshotRow,
  hasHeldChildren,
  insertHeldSnapshot,
  listHeldChildren,
  listHeldLayers,
  listHeldPage,
  setHeldLabels,
  setHeldUsage,
} from "../../src/meta/held-snapshots.ts";
import { getLayer } from "../../src/meta/layers.ts";
import { joinHost } from "../../src/paths.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import { AT_FDCWD } from "../../src/sys/file.ts";
import { statAtOrNull } from "../../src/sys/stat.ts";
import { nowUs } from "../../src/sys/times.ts";
import { isHeldDirectory } from "../garbage.ts";
import { heldDirectory } from "../layout.ts";
import type { Store } from "../store.ts";
import { Adopter, layerOfCommit, releaseLayer } from "./adopt.ts";
import type { SnapshotFilter } from "./filter.ts";
import { GroupWriter } from "./group-writer.ts";
import { makeDirectories, makeHeldLink, Trash } from "./held-directories.ts";
import { type MountData, type MountStyle, mountsOf } from "./held-mounts.ts";
import { LogKeeper } from "./log-keeper.ts";
import {
  checkKey,
  checkLabels,
  exists,
  hasChildren,
  immutableField,
  noParent,
  notFound,
  parentChanged,
  parentNotCommitted,
  targetExists,
  wrongKind,
} from "./refusals.ts";
import { mappingsOf } from "./remap.ts";
import { SlowWork } from "./slow-work.ts";

/** The label by which a client asks for a layer instead of a place to unpack it to: its value is the layer's chainID. */
export const TARGET_LABEL = "containerd.io/snapshot.ref";

const PAGE = 100;

export type LabelMap = ReadonlyMap<string, string>;

export interface PrepareRequest {
  readonly key: string;
  /** "": none. */
  readonly parent: string;
  readonly labels: LabelMap;
}

export interface CommitRequest {
  readonly key: string;
  readonly name: string;
  /** For a snapshot that was made without one; "": as it is. */
  readonly parent: string;
  readonly labels: LabelMap;
}

export interface UpdateRequest {
  readonly name: string;
  readonly labels: LabelMap;
  /** Which fields change; empty: all that can. */
  readonly paths: readonly string[];
}

export interface Usage {
  readonly sizeBytes: number;
  readonly inodes: number;
}

/** What has been counted since the start, for metrics. */
export interface SnapshotterCounts {
  /** Layers that were there when a client wanted to unpack them. */
  targetsFound: number;
}

/** Disposing waits for what is being removed. */
export class Snapshotter implements AsyncDisposable {
  readonly counts: SnapshotterCounts = { targetsFound: 0 };
  readonly #store: Store;
  readonly #holder: string;
  readonly #style: MountStyle;
  readonly #writer: GroupWriter;
  readonly #slow = new SlowWork();
  readonly #log: LogKeeper;
  readonly #adopter: Adopter;
  readonly #trash: Trash;

  constructor(store: Store, holder: string, style: MountStyle) {
    this.#store = store;
    this.#holder = holder;
    this.#style = style;
    this.#log = new LogKeeper(store);
    this.#writer = new GroupWriter(store.db, this.#log);
    this.#adopter = new Adopter(store, holder, this.#slow);
    this.#trash = new Trash(store, this.#slow);
  }

  /** How many layers were taken into the store, and how many found to be there already. */
  get adoptions(): Adopter["counts"] {
    return this.#adopter.counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#adopter[Symbol.asyncDispose]();
    await this.#trash[Symbol.asyncDispose]();
    await this.#slow[Symbol.asyncDispose]();
    await this.#log[Symbol.asyncDispose]();
  }

  /**
   * Makes an active snapshot. With the label of a layer that the store has, a committed snapshot of that layer instead, and
   * then it throws `ERR_SNAPSHOT_EXISTS`.
   * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND` for the parent
   * @throws {ConflictError} `ERR_SNAPSHOT_EXISTS`
   * @throws {UsageError} `ERR_SNAPSHOT_PARENT` if the parent is not committed; `ERR_SNAPSHOT_NAME`, `ERR_SNAPSHOT_LABEL`
   */
  async prepare(request: PrepareRequest): Promise<readonly MountData[]> {
    const target = request.labels.get(TARGET_LABEL) ?? "";
    if (isDigest(target)) await this.#adopter.makeAvailable(target as ChainId);
    const made = await this.#writer.change(() => this.#targetFor(request, target) ?? this.#create("active", request));
    if (typeof made !== "string") return mountsOf(this.#store, made, this.#style);
    this.counts.targetsFound += 1;
    throw targetExists(made);
  }

  /** Makes a read-only snapshot. @throws as `prepare` */
  async view(request: PrepareRequest): Promise<readonly MountData[]> {
    const made = await this.#writer.change(() => this.#create("view", request));
    return mountsOf(this.#store, made, this.#style);
  }

  /**
   * The mounts of an active snapshot or a view.
   * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
   * @throws {ConflictError} `ERR_SNAPSHOT_KIND` for a committed one
   */
  mounts(key: string): readonly MountData[] {
    const snapshot = this.stat(key, "mount");
    if (snapshot.kind === "committed") throw wrongKind("mount", key, "it is committed; prepare one on top of it");
    const fs = joinHost(heldDirectory(this.#store.layout, snapshot.id), "fs");
    if (statAtOrNull(AT_FDCWD, fs) === null) makeDirectories(this.#store, snapshot, this.#style); // a power cut took it
    return mountsOf(this.#store, snapshot, this.#style);
  }

  /**
   * Makes an active snapshot a committed one, under another name; its labels are those of the request alone.
   * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
   * @throws {ConflictError} `ERR_SNAPSHOT_EXISTS` if the name is taken; `ERR_SNAPSHOT_KIND` if it is not active
   * @throws {UsageError} `ERR_SNAPSHOT_PARENT` if it has a parent and another one is asked for
   */
  async commit({ key, name, parent, labels }: CommitRequest): Promise<void> {
    checkKey("commit", name);
    const kept = checkLabels(labels);
    const committed = await this.#writer.changeWithDirectory(() => {
      if (getHeldSnapshot(this.#store.db, this.#holder, name) !== null) throw exists(name);
      const snapshot = this.stat(key, "commit");
      if (snapshot.kind !== "active") throw wrongKind("commit", key, `it is ${snapshot.kind}, not active`);
      const isRebased = parent !== "" && snapshot.parent === null;
      if (parent !== "" && !isRebased && snapshot.parent?.name !== parent) throw parentChanged(key, parent);
      const below = isRebased ? this.#rebaseOn(key, parent) : snapshot.parent;
      const chainId = isRebased ? null : layerOfCommit(this.#store, snapshot, name, kept);
      const row = { ...snapshot, name, parent: below, chainId, labels: kept, createdAtUs: nowUs() };
      commitHeldSnapshot(this.#store.db, row);
      return row;
    });
    this.#adopter.take(committed);
  }

  /**
   * Forgets a snapshot; what it has on disk goes at once under its name, and then from the disk.
   * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
   * @throws {ConflictError} `ERR_SNAPSHOT_CHILDREN`
   */
  async remove(key: string): Promise<void> {
    const directories = await this.#writer.change(() => {
      const snapshot = this.stat(key, "remove");
      if (hasHeldChildren(this.#store.db, snapshot.id)) throw hasChildren(key);
      deleteHeldSnapshot(this.#store.db, snapshot.id);
      return releaseLayer(this.#store, snapshot);
    });
    for (const path of directories) this.#trash.discard(path);
    this.#adopter.retry();
  }

  /** @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND` */
  stat(key: string, verb = "find"): HeldSnapshotRow {
    const snapshot = getHeldSnapshot(this.#store.db, this.#holder, key);
    if (snapshot === null) throw notFound(verb, key);
    return snapshot;
  }

  /**
   * Changes labels, and gives the snapshot as it is then.
   * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
   * @throws {UsageError} `ERR_SNAPSHOT_FIELD` for a field that cannot be changed; `ERR_SNAPSHOT_LABEL`
   */
  async update(request: UpdateRequest): Promise<HeldSnapshotRow> {
    return await this.#writer.change(() => {
      const snapshot = this.stat(request.name, "update");
      const labels = checkLabels(changedLabels(snapshot, request));
      const updatedAtUs = nowUs();
      setHeldLabels(this.#store.db, snapshot.id, labels, updatedAtUs);
      return { ...snapshot, labels, updatedAtUs };
    });
  }

  /** Those that the filter takes, in blocks, oldest first; what changes meanwhile may be among them or not. */
  *list(filter: SnapshotFilter): Generator<readonly HeldSnapshotRow[]> {
    const parent = filter.parent === null ? null : getHeldSnapshot(this.#store.db, this.#holder, filter.parent);
    if (filter.parent !== null && parent === null) return;
    for (let after = 0; ; ) {
      const page =
        parent === null
          ? listHeldPage(this.#store.db, this.#holder, after, PAGE)
          : listHeldChildren(this.#store.db, parent.id, after, PAGE);
      yield page.filter(filter.matches);
      after = page.at(-1)?.id ?? 0;
      if (page.length < PAGE) return;
    }
  }

  /**
   * What a snapshot takes on the disk, without those below it. Of a committed one it is measured once.
   * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
   */
  async usage(key: string): Promise<Usage> {
    const { id, kind, parent, usage } = this.stat(key, "measure");
    if (usage !== null) return usage;
    if (kind === "view" && parent !== null) return { sizeBytes: 0, inodes: 0 };
    let size: Usage;
    try {
      const { diskBytes, inodes } = await this.#slow.measure(joinHost(heldDirectory(this.#store.layout, id), "fs"));
      size = { sizeBytes: diskBytes, inodes };
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      this.stat(key, "measure"); // throws if it was removed meanwhile
      size = { sizeBytes: 0, inodes: 0 };
    }
    if (kind === "committed") {
      this.#store.db.transaction("relaxed", () => setHeldUsage(this.#store.db, id, size.sizeBytes, size.inodes));
    }
    return size;
  }

  /** Waits until what was removed is off the disk, and takes away directories that a crash left. */
  async cleanup(): Promise<void> {
    this.#store.db.transaction("relaxed", () => {
      for (const { name } of listDirectory(this.#store.layout.held)) {
        if (!isHeldDirectory(this.#store, name)) this.#trash.discard(joinHost(this.#store.layout.held, name));
      }
    }); // under the database's lock nobody is making one
    await this.#trash.settled();
  }

  /** The committed snapshot's name if the layer that is asked for is in the store; null if it is to be unpacked. */
  #targetFor({ key, parent, labels }: PrepareRequest, target: string): string | null {
    if (!isDigest(target)) return null;
    const { db } = this.#store;
    const chainId = target as ChainId;
    const below = this.#parentOf(key, parent);
    const known = listHeldLayers(db, this.#holder, chainId).find(
      (row) => row.kind === "committed" && row.labels[TARGET_LABEL] === target && row.parent?.id === below?.id,
    );
    if (known !== undefined) return target;
    const layer = getLayer(db, chainId);
    if (layer === null || layer.parent !== (below?.chainId ?? null)) return null;
    const kept = checkLabels(labels);
    const at = nowUs();
    const isFree = getHeldSnapshot(db, this.#holder, target) === null;
    const row = insertHeldSnapshot(db, {
      holder: this.#holder,
      name: isFree ? target : `${target} ${at}`,
      kind: "committed",
      parent: below,
      chainId,
      labels: kept,
      usage: null,
      createdAtUs: at,
      updatedAtUs: at,
    });
    makeHeldLink(this.#store, row.id, layer.directory);
    return target;
  }

  #create(kind: "active" | "view", { key, parent, labels }: PrepareRequest): HeldSnapshotRow {
    checkKey("make", key);
    const kept = checkLabels(labels);
    if (this.#style.remapsIds) mappingsOf(kept); // refuses what cannot be mounted by
    const below = this.#parentOf(key, parent);
    if (getHeldSnapshot(this.#store.db, this.#holder, key) !== null) throw exists(key);
    const at = nowUs();
    const row = insertHeldSnapshot(this.#store.db, {
      holder: this.#holder,
      name: key,
      kind,
      parent: below,
      chainId: null,
      labels: kept,
      usage: null,
      createdAtUs: at,
      updatedAtUs: at,
    });
    makeDirectories(this.#store, row, this.#style);
    return row;
  }

  #parentOf(key: string, parent: string): HeldSnapshotRow | null {
    if (parent === "") return null;
    const below = getHeldSnapshot(this.#store.db, this.#holder, parent);
    if (below === null) throw noParent(key, parent);
    if (below.kind !== "committed") throw parentNotCommitted(key, parent);
    return below;
  }

  #rebaseOn(key: string, parent: string): HeldSnapshotRow {
    const below = getHeldSnapshot(this.#store.db, this.#holder, parent);
    if (below === null) throw noParent(key, parent);
    if (below.kind !== "committed") throw wrongKind("commit", key, `the parent "${parent}" is not committed`);
    return below;
  }
}

/** The labels after an update. An empty value is no label, so that `checkLabels` drops it. */
function changedLabels(snapshot: HeldSnapshotRow, { name, labels, paths }: UpdateRequest): LabelMap {
  if (paths.length === 0) return labels;
  let changed = new Map(Object.entries(snapshot.labels));
  for (const path of paths) {
    if (path === "labels") changed = new Map(labels);
    else if (path.startsWith("labels.")) {
      const key = path.slice("labels.".length);
      changed.set(key, labels.get(key) ?? "");
    } else throw immutableField(name, path);
  }
  return changed;
}
