/**
 * Collects what a walk finds into a `LayerDiff`: both walks, of an upperdir and of two trees, decide here what counts as
 * a change.
 *
 * Hard links: names that share a file afterwards have changed together. If one of them is new or different, or they did
 * not share a file before, the others are changes too ("links"), because a layer can only link to what it holds itself.
 * Names that shared a file before and are several files now, all as that was (a copy-up without an index that nothing came
 * after, a file put in the place of its equal), have parted: that with the most names need not be stored, the others are changes.
 */

import { baseName, type LayerPath, parentPath } from "../../src/paths.ts";
import { S_IFMT, S_IFSOCK } from "../../src/sys/file.ts";
import {
  type Aspect,
  byPath,
  inodeKey,
  isDirectory,
  isRegularFile,
  type LayerChange,
  type LayerDiff,
  type LayerNode,
  type SkippedEntry,
  WHITEOUT_PREFIX,
} from "./change.ts";
import { type CompareOptions, compareNodes } from "./compare.ts";

/** One name of a file that has several, or had. */
interface LinkedName {
  readonly node: LayerNode;
  /** The file at this path before; null if there was none. */
  readonly before: LayerNode | null;
  readonly isChange: boolean;
}

const NOTHING: readonly Aspect[] = [];

export class DiffCollector {
  readonly #options: CompareOptions;
  readonly #changes: LayerChange[] = [];
  readonly #skipped: SkippedEntry[] = [];
  readonly #directories = new Map<LayerPath, LayerNode>();
  /** By the file afterwards. */
  readonly #links = new Map<string, LinkedName[]>();
  /** Files before, of which a name leads to another file that is the same; how many of their names were found. */
  readonly #copied = new Map<string, { readonly nlink: number; found: number }>();

  constructor(options: CompareOptions) {
    this.#options = options;
  }

  /** Why a layer cannot hold an entry; null if it can. */
  unfit(name: string, mode: number): SkippedEntry["reason"] | null {
    if (name.startsWith(WHITEOUT_PREFIX)) return "reserved-name";
    return (mode & S_IFMT) === S_IFSOCK ? "socket" : null;
  }

  /** `path` cannot be in a layer: it is reported, and what was there before is deleted. */
  skip(path: LayerPath, reason: SkippedEntry["reason"], wasThere: boolean): void {
    this.#skipped.push({ path, reason });
    if (wasThere) this.delete(path);
  }

  delete(path: LayerPath): void {
    if (baseName(path).startsWith(WHITEOUT_PREFIX)) this.#skipped.push({ path, reason: "reserved-name" });
    else this.#changes.push({ kind: "D", path, what: [], sizeBytes: 0, node: null });
  }

  /** Compares an entry with what was at its path before, and takes it in if it is a change. */
  compare(before: LayerNode | null, node: LayerNode): void {
    const isDir = isDirectory(node.stat);
    if (isDir) this.#directories.set(node.path, node);
    const what = before === null ? NOTHING : compareNodes(before, node, this.#options);
    const isChange = before === null || what.length > 0;
    if (isChange) this.#add(before === null ? "A" : "C", node, what);
    if (!isDir && (node.stat.nlink > 1 || (before !== null && before.stat.nlink > 1))) {
      this.#link({ node, before, isChange });
    }
  }

  /** True if names may have parted whose other names were not looked at: then the whole trees are to be compared. */
  get mayHaveParted(): boolean {
    return [...this.#copied.values()].some(({ nlink, found }) => found < nlink);
  }

  /** Everything taken in, in order. */
  finish(): LayerDiff {
    const kept: (readonly LinkedName[])[] = [];
    for (const names of this.#links.values()) {
      if (isKeptGroup(names)) kept.push(names);
      else this.#addUnchanged(names);
    }
    for (const names of partedOf(kept)) this.#addUnchanged(names);
    this.#changes.sort(byPath);
    return { changes: this.#changes, parents: this.#parents(), skipped: this.#skipped.sort(byPath) };
  }

  #add(kind: "A" | "C", node: LayerNode, what: readonly Aspect[]): void {
    const sizeBytes = isRegularFile(node.stat) ? node.stat.sizeBytes : 0;
    this.#changes.push({ kind, path: node.path, what, sizeBytes, node });
  }

  #link(name: LinkedName): void {
    const key = inodeKey(name.node.stat);
    const names = this.#links.get(key);
    if (names === undefined) this.#links.set(key, [name]);
    else names.push(name);
    const { before, isChange } = name;
    if (before === null || isChange || inodeKey(before.stat) === key || before.stat.nlink < 2) return;
    const copied = this.#copied.get(inodeKey(before.stat));
    if (copied === undefined) this.#copied.set(inodeKey(before.stat), { nlink: before.stat.nlink, found: 1 });
    else copied.found += 1;
  }

  #addUnchanged(names: readonly LinkedName[]): void {
    for (const { node, isChange } of names) if (!isChange) this.#add("C", node, ["links"]);
  }

  #parents(): readonly LayerNode[] {
    const seen = new Set<LayerPath>();
    for (const { path } of this.#changes) if (this.#directories.has(path)) seen.add(path);
    const parents: LayerNode[] = [];
    for (const change of this.#changes) {
      for (let path = parentPath(change.path); path !== "" && !seen.has(path); path = parentPath(path)) {
        seen.add(path);
        const node = this.#directories.get(path);
        if (node !== undefined) parents.push(node);
      }
    }
    return parents.sort(byPath);
  }
}

/** True if these names shared a file before as they do now, and none of them is a change. */
function isKeptGroup(names: readonly LinkedName[]): boolean {
  if (names.length === 1) return true;
  const keys = new Set(names.map(({ before }) => (before === null ? null : inodeKey(before.stat))));
  return keys.size === 1 && names.every(({ isChange }) => !isChange);
}

/** Of the groups that were one file before and are several now: all but the largest, of equal ones the first. */
function partedOf(kept: readonly (readonly LinkedName[])[]): readonly (readonly LinkedName[])[] {
  const byBefore = new Map<string, (readonly LinkedName[])[]>();
  for (const names of kept) {
    const [{ before, isChange } = { before: null, isChange: true }] = names;
    if (before === null || isChange || before.stat.nlink < 2) continue;
    const key = inodeKey(before.stat);
    byBefore.set(key, [...(byBefore.get(key) ?? []), names]);
  }
  return [...byBefore.values()].flatMap((groups) =>
    groups.length < 2
      ? []
      : groups.sort((a, b) => b.length - a.length || (firstPath(a) < firstPath(b) ? -1 : 1)).slice(1),
  );
}

function firstPath(names: readonly LinkedName[]): LayerPath {
  return names.map(({ node }) => node.path).reduce((first, path) => (path < first ? path : first));
}
