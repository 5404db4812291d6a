/**
 * Collects what a walk finds into a `LayerDiff`: both walks, of an upperdir and of two trees, decide here what counts as
 * a change.
 *
 * Hard links: names that share a file afterwards have changed together. If one of them is new or different, or they did
 * not share a file before, the others are changes too ("links"), because a layer can only link to what it holds itself.
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

/** One name of a file that has several. */
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
  readonly #links = new Map<string, LinkedName[]>();

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
    if (!isDir && node.stat.nlink > 1) this.#link({ node, before, isChange });
  }

  /** Everything taken in, in order. */
  finish(): LayerDiff {
    for (const names of this.#links.values()) if (!isKeptGroup(names)) this.#addUnchanged(names);
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
