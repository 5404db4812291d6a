/**
 * The difference between any two merged trees. Both are walked in lock step; a directory that is merged from the same
 * host directories on both sides is the same on both, so that trees which share layers cost what differs.
 */

import { IndexedTree } from "../../src/overlay/indexed-tree.ts";
import { isMergedDirectory, type MergedEntry, type MergedTree } from "../../src/overlay/merged-tree.ts";
import type { LayerDiff, LayerNode } from "./change.ts";
import { DiffCollector } from "./collector.ts";
import type { CompareOptions } from "./compare.ts";

export interface TreeDiffOptions extends CompareOptions {
  /**
   * Default true: directories that are the same on both sides are not read. false if a file in one may have got names
   * elsewhere, or lost them, which only a directory moved by a redirect brings about.
   */
  readonly prune?: boolean;
}

/** What `after` does to `before`; null for a tree without anything, not even a root. @throws a system error */
export function diffTrees(
  before: MergedTree | null,
  after: MergedTree | null,
  options: TreeDiffOptions = {},
): LayerDiff {
  const collector = new DiffCollector(options);
  const root = after?.root ?? null;
  const walk = new TreeWalk(before, after, collector, () => {}, options.prune);
  walk.pair(before?.root ?? null, root);
  if (options.prune !== false && collector.mayHaveParted) return diffTrees(before, after, { ...options, prune: false });
  return collector.finish();
}

/** Hands every difference between two trees to a collector. */
export class TreeWalk {
  readonly #before: MergedTree | null;
  readonly #after: MergedTree | null;
  readonly #collector: DiffCollector;
  readonly #visit: (entry: MergedEntry) => void;
  /** False if files may differ though the host directories are the same. */
  readonly #canPrune: boolean;
  /** Directories whose entries are still to be compared: a stack, not recursion, since trees may be deep. */
  readonly #waiting: [before: MergedEntry | null, after: MergedEntry][] = [];

  /** `visit` is called with every entry of `after` that is looked at, before what it holds is read. */
  constructor(
    before: MergedTree | null,
    after: MergedTree | null,
    collector: DiffCollector,
    visit: (entry: MergedEntry) => void = () => {},
    prune = true,
  ) {
    this.#before = before;
    this.#after = after;
    this.#collector = collector;
    this.#visit = visit;
    this.#canPrune = prune && ![before, after].some((tree) => tree instanceof IndexedTree && tree.hasAliases);
  }

  /** Compares what is at one path on both sides, and everything below it. */
  pair(before: MergedEntry | null, after: MergedEntry | null): void {
    this.#one(before, after);
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) this.#children(...next);
  }

  #one(before: MergedEntry | null, after: MergedEntry | null): void {
    if (after === null) {
      if (before !== null) this.#collector.delete(before.path);
      return;
    }
    if (before !== null && this.#canPrune && sameDirectories(before, after)) return;
    this.#visit(after);
    const unfit = this.#collector.unfit(after.name, after.stat.mode);
    if (unfit !== null) {
      this.#collector.skip(after.path, unfit, before !== null);
      return;
    }
    this.#collector.compare(nodeOf(this.#before, before), new TreeNode(this.#after, after));
    if (isMergedDirectory(after)) this.#waiting.push([before, after]);
  }

  #children(before: MergedEntry | null, after: MergedEntry): void {
    const old = before === null ? [] : (this.#before?.list(before) ?? []);
    const now = this.#after?.list(after) ?? [];
    let at = 0;
    for (const entry of now) {
      for (; nameAt(old, at) < entry.name; at++) this.#one(old[at] ?? null, null);
      const same = nameAt(old, at) === entry.name ? (old[at++] ?? null) : null;
      this.#one(same, entry);
    }
    for (; at < old.length; at++) this.#one(old[at] ?? null, null);
  }
}

/** The name at `at`, or one behind all names at the end. */
function nameAt(entries: readonly MergedEntry[], at: number): string {
  return entries[at]?.name ?? "\u{ffff}";
}

function sameDirectories(a: MergedEntry, b: MergedEntry): boolean {
  const [left, right] = [a.directories, b.directories];
  return left.length > 0 && left.length === right.length && left.every((directory, at) => directory === right[at]);
}

/** An entry of a merged tree as a node: its attributes are read when they are asked for. */
export class TreeNode implements LayerNode {
  readonly #tree: MergedTree | null;
  readonly #entry: MergedEntry;
  #xattrs: ReadonlyMap<string, Uint8Array> | undefined;

  constructor(tree: MergedTree | null, entry: MergedEntry) {
    this.#tree = tree;
    this.#entry = entry;
  }

  get path() {
    return this.#entry.path;
  }
  get stat() {
    return this.#entry.stat;
  }
  get hostPath() {
    return this.#entry.hostPath;
  }
  get dataPath() {
    return this.#entry.dataPath;
  }
  get xattrs(): ReadonlyMap<string, Uint8Array> {
    this.#xattrs ??= this.#tree?.visibleXattrs(this.#entry) ?? new Map();
    return this.#xattrs;
  }
}

/** As `new TreeNode`, for an entry that may be missing. */
export function nodeOf(tree: MergedTree | null, entry: MergedEntry | null): LayerNode | null {
  return entry === null ? null : new TreeNode(tree, entry);
}
