/**
 * Commit: what a snapshot changed becomes a layer on its image, in one pass over the upperdir. The layer is stored as a
 * blob only and unpacked when it is first mounted. The snapshot stays as it is, mounted or not.
 *
 * The layer is of one moment, or there is none: if something changes while it is read, all of it is read again, and a
 * tree that never rests is refused.
 */

import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { DiffId, Digest } from "../../src/digest.ts";
import { ConflictError, isErrno, LayerctlError } from "../../src/errors.ts";
import { display, type HostPath } from "../../src/paths.ts";
import type { Stat } from "../../src/sys/stat.ts";
import type { StoredBlob } from "../content/blob-store.ts";
import type { SkippedEntry } from "../diff/change.ts";
import { findChanged, findUnsettled, SETTLE_MS } from "../diff/consistency.ts";
import { diffSnapshot, snapshotSubject } from "../diff/subject.ts";
import { TarFiller } from "../diff/tar-filler.ts";
import type { UpperDiff } from "../diff/upper-diff.ts";
import { addImage, resolveImage } from "../images.ts";
import { acquireLock } from "../locks.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { followImages } from "../podman/follow.ts";
import { getSnapshot, type Snapshot } from "../snapshots/snapshots.ts";
import { createdNow, sourceDateNs } from "../source-date.ts";
import type { Store } from "../store.ts";
import type { Compression } from "./compress.ts";
import { applyConfigChanges } from "./config-changes.ts";
import { imageDocuments, type NewLayer, nextConfig } from "./image-documents.ts";
import { type LayerBlob, writeLayerBlob } from "./layer-blob.ts";

export interface CommitOptions {
  /** The name for the image; null for none. */
  readonly reference: string | null;
  /** Changes of its config, as `docker commit --change` takes them. */
  readonly changes?: readonly string[];
  readonly message?: string;
  readonly author?: string;
  /** Default "gzip". */
  readonly compression?: Compression;
  /** See `LayerTarOptions`. */
  readonly sparse?: boolean;
  readonly signal?: AbortSignal;
  /** Called now and then with the bytes of tar written so far. */
  readonly onProgress?: (tarBytes: number) => void;
}

export interface CommittedImage {
  /** Of the manifest. */
  readonly digest: Digest;
  readonly configDigest: Digest;
  /** The new layer; null if nothing had changed. */
  readonly layer: Descriptor | null;
  readonly diffId: DiffId | null;
  /** Of the new layer's tar; 0 without one. */
  readonly tarBytes: number;
  /** What the layer could not take in. */
  readonly skipped: readonly SkippedEntry[];
}

/** How often to read a tree that changes before giving up. */
const ATTEMPTS = 4;

/**
 * Commits a snapshot (or the one with this name or target) as an image, which is durable when the promise is fulfilled.
 * @throws {ConflictError} `ERR_COMMIT_VIEW` for a read-only view, `ERR_COMMIT_CHANGING` if files change all the while
 * @throws {UsageError} `ERR_CONFIG_CHANGE`, `ERR_REFERENCE_FORMAT`
 * @throws {NotFoundError} `ERR_SNAPSHOT_NOT_FOUND`
 */
export async function commitSnapshot(
  store: Store,
  nameOrSnapshot: string | Snapshot,
  options: CommitOptions,
): Promise<CommittedImage> {
  const snapshot = typeof nameOrSnapshot === "string" ? getSnapshot(store, nameOrSnapshot) : nameOrSnapshot;
  const { compression = "gzip", changes = [], reference, signal } = options;
  await using _gc = await acquireLock(store.layout, "gc", "shared", signal === undefined ? {} : { signal });
  const base = resolveImage(store, imageOf(snapshot));
  applyConfigChanges(base.config.config ?? {}, changes); // what is wrong with them should not wait for the layer

  await using writing = await writeConsistent(store, snapshot, options);
  const { blob, diff } = writing;
  const layer: NewLayer | null = blob === null ? null : newLayer(blob.writer.end(), compression);
  const diffId = blob?.diffId ?? null;
  const config = nextConfig(base.config, diffId, changes, historyOf(options));
  const documents = imageDocuments(base.manifest, config, layer);
  const references = reference === null ? [] : [reference];
  const { manifest, config: document } = documents;
  const layers = blob === null ? [] : [blob.writer];
  const digest = await addImage(store, { manifest, config: document, layers, references });
  await followImages(store, { signal });
  return {
    digest,
    configDigest: documents.config.descriptor.digest,
    layer: documents.layer,
    diffId,
    tarBytes: blob?.tarBytes ?? 0,
    skipped: diff.skipped,
  };
}

function newLayer({ digest, sizeBytes }: StoredBlob, compression: Compression): NewLayer {
  return { digest, size: sizeBytes, compression };
}

function imageOf(snapshot: Snapshot): Digest {
  const { name, image, upperdir } = snapshot;
  if (image !== null && upperdir !== null) return image;
  const state = upperdir === null ? "it is a read-only view, which has no changes" : "it was not made from an image";
  throw new ConflictError("ERR_COMMIT_VIEW", `Cannot commit snapshot "${name}": ${state}`, { data: { name } });
}

function historyOf({ changes = [], author, message }: CommitOptions) {
  const createdBy = ["layerctl commit", ...changes.map((change) => `-c ${JSON.stringify(change)}`)].join(" ");
  return {
    created: createdNow(),
    createdBy,
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { comment: message }),
  };
}

/** A layer that was written, or null if nothing has changed, and what it was made from. */
class Writing implements AsyncDisposable {
  readonly blob: LayerBlob | null;
  readonly diff: UpperDiff;

  constructor(blob: LayerBlob | null, diff: UpperDiff) {
    this.blob = blob;
    this.diff = diff;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.blob?.[Symbol.asyncDispose]();
  }
}

/** Writes the layer until nothing has changed meanwhile. */
async function writeConsistent(store: Store, snapshot: Snapshot, options: CommitOptions): Promise<Writing> {
  let changed = "";
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    options.signal?.throwIfAborted();
    if (attempt > 0) await sleep(SETTLE_MS);
    const outcome = await attemptToWrite(store, snapshot, options);
    if (outcome instanceof Writing) return outcome;
    changed = outcome;
    store.logger.debug("commit.changed", { snapshot: snapshot.name, path: changed, attempt });
  }
  throw new ConflictError(
    "ERR_COMMIT_CHANGING",
    `Cannot commit snapshot "${snapshot.name}": "${changed}" changes while it is read; stop what writes to it`,
    { data: { name: snapshot.name, path: changed } },
  );
}

/** The layer, or the path of what changed meanwhile, as people read it. */
async function attemptToWrite(store: Store, snapshot: Snapshot, options: CommitOptions): Promise<Writing | string> {
  const subject = await snapshotSubject(store, snapshot, options);
  const { upperdir } = subject;
  if (upperdir === null) throw new TypeError("a view has no changes");
  const unchanged = new Set<Stat>();
  await using filler = new TarFiller();
  let blob: LayerBlob | null = null;
  let changed: string | null;
  try {
    const startMs = Date.now();
    const diff = diffSnapshot({ ...subject, upperdir }, { detail: false, onMany: () => filler.start() });
    let path = findUnsettled(diff.seen, startMs);
    await nextTurn(); // in which the filler hears from its thread that it is there
    if (path === null && diff.changes.length > 0) {
      const { compression = "gzip" } = options;
      blob = await writeLayerBlob(store.blobs, diff, compression, { ...tarOptions(options), unchanged, filler });
    }
    path ??= findChanged(diff.seen, unchanged);
    if (path === null) return new Writing(blob, diff);
    changed = inTree(upperdir, path);
  } catch (error) {
    changed = changedUnder(error, upperdir);
    if (changed === null) throw error; // the blob is not there yet: writing it is what fails
  }
  await blob?.[Symbol.asyncDispose]();
  return changed;
}

/** What opening or reading a file says after something else was put in its place, or nothing. */
const GONE = ["ENOENT", "ENOTDIR", "ELOOP", "ESTALE", "EISDIR", "ENXIO", "ESPIPE"] as const;

/** The path that an error names, as people read it, if it is one that a changing tree explains. */
function changedUnder(error: unknown, upperdir: HostPath): string | null {
  if (error instanceof LayerctlError && error.code === "ERR_FILE_CHANGED") return `/${error.data.path}`;
  if (!isErrno(error, ...GONE)) return null;
  return "path" in error && typeof error.path === "string" ? inTree(upperdir, error.path) : "/";
}

function inTree(upperdir: HostPath, path: string): string {
  const inside = path.startsWith(upperdir) ? path.slice(upperdir.length) : path;
  return inside === "" || inside === "/." ? "/" : display(inside);
}

function tarOptions({ sparse = true, signal, onProgress }: CommitOptions) {
  const epochNs = sourceDateNs();
  return {
    sparse,
    ...(epochNs === null ? {} : { epochNs }),
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
}
