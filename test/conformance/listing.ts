/** A tree as lines to compare: one for each path, with everything that a layer carries of it. */

import { describeRecord, listTree } from "../helpers/compare.ts";

/**
 * One line a path below `root`, sorted by path, with times rounded down to a multiple of `timeStepNs`. Control characters
 * are shown, so that it prints.
 */
export function treeLines(root: string, timeStepNs = 1n): readonly string[] {
  return [...listTree(root)].map(([path, record]) => {
    const mtimeNs = record.mtimeNs - (record.mtimeNs % timeStepNs);
    return `${JSON.stringify(path)} ${describeRecord({ ...record, mtimeNs })}`;
  });
}

/** The first line that only one of two listings has; null if they are equal. */
export function firstDifference(expected: readonly string[], found: readonly string[]): string | null {
  const [expectedSet, foundSet] = [new Set(expected), new Set(found)];
  const missing = expected.find((line) => !foundSet.has(line));
  const surplus = found.find((line) => !expectedSet.has(line));
  if (missing === undefined && surplus === undefined) return null;
  return `expected ${missing ?? "nothing more"}, found ${surplus ?? "nothing more"}`;
}
