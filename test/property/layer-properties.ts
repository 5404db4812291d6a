/** What must be true of the layers that are made of a change: of an upperdir (4), and of several layers at once (7). */

import { mkdirSync, writeFileSync } from "node:fs";
import { DEFAULT_LIMITS } from "../../layers/apply/limits.ts";
import { unpackLayer } from "../../layers/apply/unpack-layer.ts";
import type { LayerDiff } from "../../layers/diff/change.ts";
import { diffSnapshot } from "../../layers/diff/subject.ts";
import { diffTrees } from "../../layers/diff/tree-diff.ts";
import { hasIndexEntries } from "../../src/overlay/indexed-tree.ts";
import { NATIVE } from "../../src/overlay/layer-form.ts";
import { MergedTree } from "../../src/overlay/merged-tree.ts";
import { bytesOf, display, type HostPath, joinHost, WHITEOUT_PREFIX } from "../../src/paths.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import { lineDifference } from "./batch.ts";
import type { KnownDifference } from "./differences.ts";
import { observe } from "./file-system.ts";
import { tarOf } from "./layer-tar.ts";
import { MergedFiles } from "./merged-files.ts";
import { changesBetween, merged } from "./model/layers.ts";
import { linesOf, type Tree } from "./model/tree.ts";
import type { Aftermath, Found } from "./properties.ts";
import { directoryOf, indexOf } from "./scene.ts";

/** (4): the change of an upperdir as a layer, listed, written and put on the lower layers again. */
export async function diffApplies({ subject, scene, sinceMs, judged, known }: Aftermath): Promise<readonly Found[]> {
  if (!canRestoreOwners() || subject.namespace !== "trusted") return [];
  const { upperdir, workdir, lowerdirs } = scene;
  const indexdir = hasIndexEntries(workdir) ? joinHost(workdir, "index") : null;
  const diff = diffSnapshot({ kind: "snapshot", upperdir, indexdir, initdirs: [], lowerdirs, form: NATIVE });
  const applied = await unpack(diff, joinHost(scene.directory, "applied"));
  return judged.flatMap(({ before, after }, index): readonly Found[] => {
    if (hasReservedNames(before) || hasReservedNames(after)) return [];
    const directory = directoryOf(index);
    const listed = diff.changes
      .filter(({ path }) => indexOf(path) === index)
      .map(({ kind, path }) => changeText(kind, path.slice(directory.length + 1)));
    const least = changesBetween(before, after).map(({ kind, path }) => changeText(kind, path));
    const shown = observe(new MergedFiles([applied, ...lowerdirs], directory, sinceMs));
    return [
      ...found(index, "a diff lists what is different, and nothing else", least, listed),
      ...found(index, "a diff, applied to the lower layers, gives the merged tree", linesOf(after), shown, known),
    ];
  });
}

function changeText(kind: string, path: string): string {
  return `${kind} /${display(path)}`;
}

/** (7): all layers but the lowest and the topmost as one. */
export async function squashes({ subject, scene, sinceMs, cases }: Aftermath): Promise<readonly Found[]> {
  if (!canRestoreOwners() || subject.namespace !== "trusted") return [];
  const { lowerdirs } = scene;
  const [top, base] = [lowerdirs[0], lowerdirs.at(-1)];
  if (top === undefined || base === undefined) return [];
  const diff = diffTrees(new MergedTree([base]), new MergedTree(lowerdirs.slice(1)));
  const squashed = await unpack(diff, joinHost(scene.directory, "squashed"));
  return cases.flatMap(({ layers }, index) => {
    const tree = merged(layers);
    if (layers.some((layer) => hasReservedNames(layer.tree))) return [];
    const shown = observe(new MergedFiles([top, squashed, base], directoryOf(index), sinceMs));
    return found(index, "layers that are made one show the same", linesOf(tree), shown);
  });
}

/** What begins as a whiteout in a tar does cannot be in one. */
export function hasReservedNames(tree: Tree): boolean {
  return [...tree.names.keys()].some((path) => path.split("/").some((name) => name.startsWith(WHITEOUT_PREFIX)));
}

/** A finding, unless the lines are the same. */
export function found(
  index: number,
  property: string,
  expected: readonly string[],
  shown: readonly string[],
  known: readonly KnownDifference[] = [],
): readonly Found[] {
  const difference = lineDifference(expected, shown, known);
  if (difference === null) return [];
  return [[index, { property, expected: difference[0], found: difference[1], step: null }]];
}

/** A diff as a tar, unpacked in a directory that is made: its path. */
async function unpack(diff: LayerDiff, directory: HostPath): Promise<HostPath> {
  mkdirSync(bytesOf(directory));
  const file = joinHost(directory, "layer.tar");
  const tar = await tarOf(diff);
  writeFileSync(bytesOf(file), tar);
  const expected = { expectedDigest: null, expectedSizeBytes: null, expectedDiffId: null };
  const location = { file, offset: 0, sizeBytes: tar.length };
  const task = { location, directory, unpack: true, keepBlob: false, limits: DEFAULT_LIMITS, form: NATIVE };
  await unpackLayer({ ...task, ...expected }, { onBytes: () => {}, throwIfStopped: () => {} });
  return joinHost(directory, "diff");
}
