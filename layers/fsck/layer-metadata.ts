/**
 * Compares an unpacked layer with a copy unpacked anew from its blob, in everything that the recorded digests do not
 * know: which entries there are, their types, modes, owners, times, attributes, links, devices.
 */

import { constants } from "node:os";
import type { Digest } from "../../src/digest.ts";
import { IntegrityError, isErrno, PosixError } from "../../src/errors.ts";
import type { LayerRow } from "../../src/meta/layers.ts";
import type { LayerForm } from "../../src/overlay/layer-form.ts";
import { isWhiteout } from "../../src/overlay/whiteout.ts";
import { type HostPath, joinHost, type LayerPath, ROOT } from "../../src/paths.ts";
import { AT_FDCWD, readlinkAt, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { walkTree } from "../../src/sys/walk-tree.ts";
import { getXattr, listXattrs, type XattrTarget, xattrTargetAt } from "../../src/sys/xattr.ts";
import { layerStack } from "../add-layers.ts";
import { stitch } from "../apply/stitch.ts";
import type { WorkerPool } from "../apply/worker-pool.ts";
import { createTemporary } from "../content/temporary.ts";
import type { Store } from "../store.ts";
import { formOf } from "../store-form.ts";
import type { LayerDifferences } from "./layer-files.ts";

/** What was imported once is within its limits. */
const NO_LIMITS = { maxLayerBytes: Number.MAX_SAFE_INTEGER, maxEntries: Number.MAX_SAFE_INTEGER };
const NONE: LayerDifferences = { missing: [], changed: [], extra: [] };
const BREATHE_EVERY = 1024;

/**
 * Takes as much space as the layer while it runs, and nothing afterwards. Where there is none, or the blob cannot be
 * unpacked by this layerctl, that is logged and nothing is compared.
 */
export async function compareWithBlob(
  store: Store,
  layer: LayerRow,
  blob: Digest,
  tree: HostPath,
  pool: WorkerPool,
  signal: AbortSignal | undefined,
): Promise<LayerDifferences> {
  await using temporary = createTemporary(store.layout, "layer");
  try {
    await unpackAnew(store, layer, blob, temporary.path, pool);
  } catch (error) {
    const isKnown = error instanceof IntegrityError || isErrno(error, "ENOSPC", "EDQUOT");
    if (!isKnown) throw error;
    store.logger.warn("fsck.metadata.skipped", { chainId: layer.chainId, reason: error.message });
    return NONE;
  }
  const form = formOf(store);
  return await compareTrees(joinHost(temporary.path, "diff"), tree, form, signal);
}

/** Walks both trees side by side: they may have millions of entries. */
async function compareTrees(
  expectedTree: HostPath,
  foundTree: HostPath,
  form: LayerForm,
  signal: AbortSignal | undefined,
): Promise<LayerDifferences> {
  const [missing, changed, extra]: [LayerPath[], LayerPath[], LayerPath[]] = [[], [], []];
  const expected = signatures(expectedTree, form);
  const found = signatures(foundTree, form);
  try {
    let [left, right] = [expected.next(), found.next()];
    for (let steps = 0; left.done !== true || right.done !== true; steps++) {
      const order = left.done === true ? 1 : right.done === true ? -1 : byWalk(left.value.path, right.value.path);
      if (order < 0 && left.done !== true) missing.push(left.value.path);
      else if (order > 0 && right.done !== true) extra.push(right.value.path);
      else if (left.value?.text !== right.value?.text && right.done !== true) changed.push(right.value.path);
      if (order <= 0) left = expected.next();
      if (order >= 0) right = found.next();
      if (steps % BREATHE_EVERY !== 0) continue;
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
  } finally {
    expected.return(undefined);
    found.return(undefined);
  }
  return { missing, changed, extra };
}

/** The order of `walkTree`: what is in a directory comes before what only begins with its name. */
function byWalk(a: LayerPath, b: LayerPath): number {
  if (a === b) return 0;
  return a.replaceAll("/", "\0") < b.replaceAll("/", "\0") ? -1 : 1;
}

async function unpackAnew(
  store: Store,
  { parent, diffId }: LayerRow,
  digest: Digest,
  directory: HostPath,
  pool: WorkerPool,
): Promise<void> {
  const sizeBytes = store.blobs.sizeOf(digest);
  if (sizeBytes === null) throw new PosixError(constants.errno.ENOENT, "open", store.blobs.path(digest));
  const { unpacked } = await pool.unpack({
    location: { file: store.blobs.path(digest), offset: 0, sizeBytes },
    directory,
    unpack: true,
    keepBlob: false,
    expectedDigest: digest,
    expectedSizeBytes: sizeBytes,
    expectedDiffId: diffId,
    limits: NO_LIMITS,
    form: formOf(store),
  });
  if (unpacked !== null) {
    stitch(directory, unpacked, parent === null ? [] : layerStack(store, parent), formOf(store));
  }
}

/** A text for each entry of a tree, the root first: equal texts are equal entries, but for the content of files. */
function* signatures(
  tree: HostPath,
  form: LayerForm,
): Generator<{ readonly path: LayerPath; readonly text: string }, undefined, void> {
  yield { path: ROOT, text: signatureOf(statAt(AT_FDCWD, tree), tree, "", form) };
  for (const { path, name, parentFd, stat } of walkTree(tree)) {
    const target = (stat.mode & S_IFMT) === S_IFLNK ? readlinkAt(parentFd, name) : "";
    yield { path, text: signatureOf(stat, xattrTargetAt(parentFd, name), target, form) };
  }
}

function signatureOf(stat: Stat, xattrs: XattrTarget, linkTarget: string, { override }: LayerForm): string {
  if (isWhiteout(stat)) return "whiteout"; // all that the kernel looks at
  const { mode, uid, gid, mtimeNs, rdevMajor, rdevMinor } = stat;
  const type = mode & S_IFMT;
  const links = type === S_IFDIR ? 0 : stat.nlink;
  const sizeBytes = type === S_IFREG ? stat.sizeBytes : 0;
  const attributes = [...listXattrs(xattrs)].sort().map((name) => `${name}=${getXattr(xattrs, name)?.toString("hex")}`);
  const owner = override === null ? [uid, gid] : []; // on disk that is whoever unpacked it
  return [mode, ...owner, mtimeNs, rdevMajor, rdevMinor, links, sizeBytes, linkTarget, ...attributes].join(" ");
}
