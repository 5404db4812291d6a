/**
 * What can be compared: a snapshot, an image, or a layer, which stands for the stack from the base up to it. Each is a
 * merged tree of the store's directories.
 */

import { existsSync } from "node:fs";
import { type Digest, hexOf } from "../../src/digest.ts";
import { ConflictError, NotFoundError, UsageError } from "../../src/errors.ts";
import { isDead } from "../../src/mount/fuse-mounts.ts";
import { parseOverlayOptions } from "../../src/mount/overlay-options.ts";
import { IndexedTree } from "../../src/overlay/indexed-tree.ts";
import type { LayerForm } from "../../src/overlay/layer-form.ts";
import { MergedTree, type MergedTreeOptions } from "../../src/overlay/merged-tree.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_RDONLY, openAt } from "../../src/sys/file.ts";
import { syncFileSystem } from "../../src/sys/sync.ts";
import { type Image, type ImageLayer, imageOfRow, lowerdirsOf } from "../image.ts";
import { listImages, resolveImage } from "../images.ts";
import { liveMounts } from "../live-mounts.ts";
import { findImageAmongOthers } from "../resolve-image.ts";
import { getSnapshot, type Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { formOf } from "../store-form.ts";
import { ensureUnpacked } from "../unpack.ts";
import { inodeKey, isDirectory, type LayerDiff } from "./change.ts";
import type { CompareOptions } from "./compare.ts";
import { diffTrees } from "./tree-diff.ts";
import { diffUpper, type UpperDiff, type UpperDiffOptions } from "./upper-diff.ts";

/** A tree of the store. All lists are top first. */
export interface Subject {
  readonly kind: "snapshot" | "image" | "layer";
  /** null for an image or a layer, and for a view. */
  readonly upperdir: HostPath | null;
  /** The index of a snapshot, which every mount reads if there is one, unless it has `index=off`. */
  readonly indexdir: HostPath | null;
  /** The init layer of a snapshot, if it has one. */
  readonly initdirs: readonly HostPath[];
  /** The layers, without the upperdir and the init layer of a snapshot. */
  readonly lowerdirs: readonly HostPath[];
  /** Where the upperdir has its overlay attributes, and where all of them have owners. */
  readonly form: LayerForm;
}

export interface FindOptions {
  readonly signal?: AbortSignal;
}

/**
 * The snapshot, image or layer that `text` means, looked for in this order, with its layers unpacked. A layer is named by
 * its diffID, its chainID or the digest of its blob, or by the first 12 or more digits of one.
 * @throws {NotFoundError} `ERR_NAME_NOT_FOUND` if nothing is called so
 * @throws {ConflictError} `ERR_LAYER_AMBIGUOUS` if it means layers with different stacks below
 */
export async function findSubject(store: Store, text: string, options: FindOptions = {}): Promise<Subject> {
  const snapshot = orNull(() => getSnapshot(store, text));
  if (snapshot !== null) return snapshotSubject(store, snapshot, options);
  const image = imageOrNull(store, text);
  const digits = LAYER_DIGITS.exec(text)?.[1];
  const layer = image === null && digits !== undefined ? findLayer(store, text, digits) : null;
  if (layer !== null) return stackSubject(store, "layer", layer.image, layer.height, options);
  const known = image ?? imageOfRow(store, findImageAmongOthers(store, text).row); // throws, naming what is like it
  return stackSubject(store, "image", known, known.layers.length, options);
}

const LAYER_DIGITS = /^(?:sha256:)?([0-9a-f]{12,64})$/;

/** What `look` finds, or null. */
function orNull<Result>(look: () => Result): Result | null {
  try {
    return look();
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}

function imageOrNull(store: Store, text: string): Image | null {
  try {
    return resolveImage(store, text);
  } catch (error) {
    const isName = error instanceof UsageError && error.code === "ERR_REFERENCE_FORMAT";
    if (isName || error instanceof NotFoundError) return null;
    throw error;
  }
}

function findLayer(store: Store, text: string, digits: string): { image: Image; height: number } | null {
  const matches = (digest: Digest): boolean => hexOf(digest).startsWith(digits);
  const isMeant = ({ chainId, diffId, descriptor }: ImageLayer): boolean =>
    matches(chainId) || matches(diffId) || matches(descriptor.digest);
  const found = listImages(store).flatMap((image) =>
    image.layers.flatMap((layer, index) => (isMeant(layer) ? [{ image, layer, height: index + 1 }] : [])),
  );
  const chains = new Set(found.map(({ layer }) => layer.chainId));
  if (chains.size < 2) return found[0] ?? null;
  throw new ConflictError(
    "ERR_LAYER_AMBIGUOUS",
    `Cannot find layer "${text}": it is on ${chains.size} different stacks; name it by its chainID`,
    { data: { text, candidates: [...chains] } },
  );
}

/** A snapshot as a subject. Its layers are unpacked, as they were when it was made. */
export async function snapshotSubject(store: Store, snapshot: Snapshot, options: FindOptions = {}): Promise<Subject> {
  const lowerdirs = await imageDirectories(store, snapshot, options);
  const overlay = parseOverlayOptions(snapshot.options);
  const indexdir = snapshot.workdir === null ? null : joinHost(snapshot.workdir, "index");
  await writeOut(store, snapshot);
  return {
    kind: "snapshot",
    upperdir: snapshot.upperdir,
    indexdir: indexdir !== null && existsSync(bytesOf(indexdir)) && overlay.index !== false ? indexdir : null,
    initdirs: snapshot.initdir === null ? [] : [snapshot.initdir],
    lowerdirs,
    form: overlay.userxattr === true ? { ...formOf(store), namespace: "user" } : formOf(store),
  };
}

/** Has what is changed in a live FUSE mount in the upperdir: the kernel may keep it for a while before it tells the server. */
async function writeOut(store: Store, { id, upperdir }: Snapshot): Promise<void> {
  if (upperdir === null) return;
  const mount = liveMounts(store).find(({ snapshot, backend }) => snapshot === id && backend === "fuse");
  if (mount === undefined || isDead(mount.target, mount.mountId)) return;
  const fd = openAt(AT_FDCWD, mount.target, O_RDONLY | O_DIRECTORY);
  try {
    await syncFileSystem(fd);
  } finally {
    close(fd);
  }
}

async function imageDirectories(store: Store, snapshot: Snapshot, options: FindOptions): Promise<readonly HostPath[]> {
  if (snapshot.image === null) return [store.layout.empty];
  const image = resolveImage(store, snapshot.image);
  await ensureUnpacked(store, image.layers, options);
  return lowerdirsOf(store, image);
}

async function stackSubject(
  store: Store,
  kind: Subject["kind"],
  image: Image,
  height: number,
  options: FindOptions,
): Promise<Subject> {
  await ensureUnpacked(store, image.layers, options);
  const lowerdirs = height === 0 ? lowerdirsOf(store, image) : lowerdirsOf(store, image).slice(-height);
  return { kind, upperdir: null, indexdir: null, initdirs: [], lowerdirs, form: formOf(store) };
}

/** Everything that a subject shows. Make it anew for each use: it remembers what it has seen. */
export function treeOf(subject: Subject): MergedTree {
  return stackOf(subject, {});
}

/** As `treeOf`, without what the init layer has put there, unless the upperdir has changed or moved it. */
function ownTreeOf(subject: Subject): MergedTree {
  const [concealed] = subject.initdirs;
  return stackOf(subject, concealed === undefined ? {} : { concealed });
}

function stackOf(subject: Subject, extra: MergedTreeOptions): MergedTree {
  const { upperdir, indexdir, initdirs, lowerdirs, form } = subject;
  const directories = [...(upperdir === null ? [] : [upperdir]), ...initdirs, ...lowerdirs];
  const options = { ...extra, ...form, unpackedLayers: true };
  return indexdir === null
    ? new MergedTree(directories, options)
    : new IndexedTree(directories, { ...options, indexdir });
}

/** What the upperdir of a snapshot changes in its image; the init layer is part of neither. @throws a system error */
export function diffSnapshot(
  subject: Subject & { upperdir: HostPath },
  options: CompareOptions & Pick<UpperDiffOptions, "onMany"> = {},
): UpperDiff {
  const { upperdir, lowerdirs, form } = subject;
  const lower = (): MergedTree => new MergedTree(lowerdirs, { ...form, unpackedLayers: true });
  const diff = diffUpper({ ...options, ...form, upperdir, lower: lower(), merged: ownTreeOf(subject) });
  if (!hasLinksOutside(diff, upperdir)) return diff;
  return { ...diffTrees(lower(), ownTreeOf(subject), { ...options, prune: false }), seen: diff.seen };
}

/**
 * True if a directory that was moved with a redirect has files with more names in the lower layers than were found. The
 * others may be anywhere, and show the same file still: only a look at everything finds them.
 */
function hasLinksOutside({ changes }: LayerDiff, upperdir: HostPath | null): boolean {
  const missing = new Map<string, number>();
  for (const { node } of changes) {
    if (node === null || node.stat.nlink < 2 || isDirectory(node.stat) || isIn(node.hostPath, upperdir)) continue;
    const key = inodeKey(node.stat);
    missing.set(key, (missing.get(key) ?? node.stat.nlink) - 1);
  }
  return [...missing.values()].some((count) => count > 0);
}

function isIn(path: HostPath, directory: HostPath | null): boolean {
  return directory !== null && path.startsWith(`${directory}/`);
}

/**
 * What a subject changes in what is below it: a snapshot in its image, an image or a layer, by its topmost layer, in the
 * layers below that. A view changes nothing.
 * @throws a system error
 */
export function diffBelow(subject: Subject, options: CompareOptions = {}): LayerDiff {
  const { kind, upperdir, lowerdirs } = subject;
  if (upperdir !== null) return diffSnapshot({ ...subject, upperdir }, options);
  if (kind === "snapshot") return { changes: [], parents: [], skipped: [] };
  const below = lowerdirs.slice(1);
  const before = below.length === 0 ? null : treeOf({ ...subject, lowerdirs: below });
  return diffTrees(before, treeOf(subject), options);
}

/** What turns `before` into `after`, at the cost of what they do not share. @throws a system error */
export function diffSubjects(before: Subject, after: Subject, options: CompareOptions = {}): LayerDiff {
  const diff = diffTrees(ownTreeOf(before), ownTreeOf(after), options);
  if (before.upperdir === null && after.upperdir === null) return diff; // no redirects without an upperdir
  if (!hasLinksOutside(diff, after.upperdir)) return diff;
  return diffTrees(ownTreeOf(before), ownTreeOf(after), { ...options, prune: false });
}
