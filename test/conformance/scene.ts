/**
 * The directories of one group of checks, laid out before anything is mounted: three or more lower layers in which each
 * check has a directory of its own, the merged tree of the same layers as plain files, an upperdir and a workdir.
 */

import { mkdirSync } from "node:fs";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { writeTree } from "../helpers/tree.ts";
import { type Check, type Group, isPossible } from "./check.ts";
import { copyMerged } from "./copy-merged.ts";

export interface Scene {
  readonly directory: HostPath;
  /** Top first. */
  readonly lowerdirs: readonly HostPath[];
  readonly upperdir: HostPath;
  readonly workdir: HostPath;
  /** Where the tree under test is, or is to be mounted. */
  readonly target: HostPath;
  /** The merged tree of the lower layers as plain files. */
  readonly twin: HostPath;
}

/** Overlay file systems take one lower layer too, but merging begins with two, and with three there is a middle. */
const LEAST_LAYERS = 3;

/** The directory of a check, below the root of each layer and of the mount. */
export function directoryOf(group: Group, check: Check): string {
  return `check${group.checks.indexOf(check)}`;
}

/** Lays out the directories of a group below `directory`, which is made. */
export function layOut(group: Group, directory: HostPath): Scene {
  const [upperdir, workdir, target, twin] = ["upper", "work", "merged", "twin"].map((name) => {
    const path = joinHost(directory, name);
    mkdirSync(bytesOf(path), { recursive: true });
    return path;
  }) as [HostPath, HostPath, HostPath, HostPath];
  const depth = Math.max(LEAST_LAYERS, ...group.checks.map((check) => check.layers.length));
  const layers = Array.from({ length: depth }, (_, index) => joinHost(directory, "lower", `layer${index}`));
  for (const layer of layers) writeTree(layer, "");
  for (const check of group.checks)
    if (check.place === "lower" && isPossible(check)) writeCheck(check, directoryOf(group, check), layers);
  const lowerdirs = layers.toReversed();
  copyMerged(lowerdirs, twin);
  return { directory, lowerdirs, upperdir, workdir, target, twin };
}

function writeCheck(check: Check, name: string, layers: readonly HostPath[]): void {
  const directories = check.layers.map((notation, index) => {
    const directory = joinHost(layers[index] ?? ("" as HostPath), name);
    writeTree(directory, notation);
    return directory;
  });
  check.furnish(...directories);
}
