/**
 * Every layer with a row is unpacked; with `deep`, its files have the content that was recorded, and everything else of
 * it is as its blob says.
 */

import { existsSync } from "node:fs";
import { type ChainId, chainIdOf, type Digest } from "../../src/digest.ts";
import { IntegrityError, isErrno } from "../../src/errors.ts";
import { listHoldersOf } from "../../src/meta/held-snapshots.ts";
import { getLayer, type LayerRow, listLayers } from "../../src/meta/layers.ts";
import { listLayerBlobs } from "../../src/meta/reachability.ts";
import { bytesOf } from "../../src/paths.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import { WorkerPool } from "../apply/worker-pool.ts";
import { isHeldLayer, layerFileDigests, layerTree } from "../layout.ts";
import type { Store } from "../store.ts";
import { formOf } from "../store-form.ts";
import type { Finding } from "./finding.ts";
import { compareLayer, describeDifferences, joinDifferences } from "./layer-files.ts";
import { compareWithBlob } from "./layer-metadata.ts";
import type { ProgressCounter } from "./progress.ts";

export interface LayersChecked {
  readonly findings: readonly Finding[];
  /** Those that can be made again from a good blob, or that nothing needs. */
  readonly repairable: readonly LayerRow[];
}

export interface LayerCheck {
  readonly deep: boolean;
  readonly goodBlobs: ReadonlySet<Digest>;
  readonly progress: ProgressCounter;
  readonly signal: AbortSignal | undefined;
}

/** Looks at every layer. */
export async function checkLayers(store: Store, check: LayerCheck): Promise<LayersChecked> {
  const findings: Finding[] = [];
  const repairable: LayerRow[] = [];
  const problems = new Map<string, Problem | null>(); // by directory: layers may share one
  const sound = new Set<ChainId>(); // with all layers below
  await using pool = new WorkerPool(1);
  for (const layer of baseFirst(listLayers(store.db))) {
    check.signal?.throwIfAborted();
    if (!problems.has(layer.directory)) {
      problems.set(layer.directory, await directoryProblem(store, layer, check, { pool, sound }));
    }
    const problem = rowProblem(store, layer) ?? problems.get(layer.directory) ?? null;
    if (problem === null && (layer.parent === null || sound.has(layer.parent))) sound.add(layer.chainId);
    if (problem === null || getLayer(store.db, layer.chainId) === null) continue;
    const [holder] = listHoldersOf(store.db, layer.chainId);
    const isRepairable = holder === undefined && canDrop(store, layer.chainId, check.goodBlobs);
    if (isRepairable) repairable.push(layer);
    const advice = adviceFor(isRepairable, holder);
    findings.push({ ...problem, severity: "error", subject: layer.chainId, advice, repaired: false });
  }
  return { findings, repairable };
}

function adviceFor(isRepairable: boolean, holder: string | undefined): string {
  if (isRepairable) return "fsck --repair removes it, and the next mount unpacks it again from its blob";
  if (holder !== undefined) return `${holder} uses it: remove its image there, then run fsck --repair`;
  return "its blob is damaged too: import its image again, then run fsck --repair";
}

type Problem = Pick<Finding, "kind" | "message">;

/** A row that contradicts itself, or stands on a layer that cannot be there again. */
function rowProblem(store: Store, { chainId, parent, diffId }: LayerRow): Problem | null {
  if (diffId !== null && chainIdOf(parent, diffId) !== chainId) {
    return { kind: "layer-changed", message: "its chainID is not that of its parent and diffID" };
  }
  const isParentThere =
    parent === null || getLayer(store.db, parent) !== null || listLayerBlobs(store.db, parent).length > 0;
  return isParentThere ? null : { kind: "layer-missing", message: `the layer below it, ${parent}, is not there` };
}

async function directoryProblem(
  store: Store,
  layer: LayerRow,
  check: LayerCheck,
  { pool, sound }: { readonly pool: WorkerPool; readonly sound: ReadonlySet<ChainId> },
): Promise<Problem | null> {
  const tree = layerTree(store.layout, layer.directory);
  const digests = layerFileDigests(store.layout, layer.directory);
  const isRecorded = !isHeldLayer(layer.directory);
  const missing = [tree, ...(isRecorded ? [digests] : [])].find((path) => !existsSync(bytesOf(path)));
  if (missing !== undefined) return { kind: "layer-missing", message: `"${missing}" is missing` };
  if (!check.deep || !isRecorded) return null; // what another engine unpacked can be compared with nothing
  try {
    const differences = [await compareLayer(tree, digests, formOf(store), check.signal)];
    const blob = listLayerBlobs(store.db, layer.chainId).find((digest) => check.goodBlobs.has(digest));
    if (blob !== undefined && canCompare(store, layer, sound)) {
      differences.push(await compareWithBlob(store, layer, blob, tree, pool, check.signal));
    }
    check.progress.add(layer.sizeBytes);
    const message = describeDifferences(joinDifferences(differences));
    return message === "" ? null : { kind: "layer-changed", message };
  } catch (error) {
    if (error instanceof IntegrityError) return { kind: "layer-changed", message: error.message };
    if (isErrno(error, "EIO", "EUCLEAN")) return { kind: "layer-changed", message: `it cannot be read: ${error.code}` };
    throw error;
  }
}

/** A layer may have taken something of those below, so these are looked at before it. */
function baseFirst(layers: readonly LayerRow[]): readonly LayerRow[] {
  const byChain = new Map(layers.map((layer) => [layer.chainId, layer]));
  const depths = new Map<ChainId, number>();
  const depthOf = ({ chainId, parent }: LayerRow): number => {
    const known = depths.get(chainId);
    if (known !== undefined) return known;
    depths.set(chainId, 0); // damaged rows may go round in a circle
    const below = parent === null ? undefined : byChain.get(parent);
    const depth = below === undefined ? 0 : 1 + depthOf(below);
    depths.set(chainId, depth);
    return depth;
  };
  return [...layers].sort((a, b) => depthOf(a) - depthOf(b));
}

/** True if the layer can be made again as it was: what it may need of the layers below is sound. */
function canCompare(store: Store, { parent, selfContained }: LayerRow, sound: ReadonlySet<ChainId>): boolean {
  if ((formOf(store).override === null && !canRestoreOwners()) || store.db.isReadOnly) return false;
  return selfContained || parent === null || sound.has(parent);
}

/** True if an image that needs the layer has a good blob of it, or no image needs it. */
function canDrop(store: Store, chainId: ChainId, goodBlobs: ReadonlySet<Digest>): boolean {
  const blobs = listLayerBlobs(store.db, chainId);
  return blobs.length === 0 || blobs.some((digest) => goodBlobs.has(digest));
}
