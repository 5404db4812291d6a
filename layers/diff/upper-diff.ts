/**
 * What an upperdir does to the tree below it, at the cost of the upperdir: nothing of the lower layers is listed, except
 * where the upperdir says that a directory is not what it was (opaque, or renamed with a redirect).
 *
 * Opaque directories become one deletion for every lower name that is gone, never an opaque mark: image-spec's layer.md
 * prefers explicit whiteouts, files that were put back unchanged need not be stored again, and the outcome is the same
 * as that of comparing the two trees. OCI knows no renames either: a redirected directory is listed in full at its new
 * path, and a metacopy file has its content from below.
 */

import { IndexedTree } from "../../src/overlay/indexed-tree.ts";
import type { MergedEntry, MergedTree } from "../../src/overlay/merged-tree.ts";
import { isMetacopy } from "../../src/overlay/metacopy.ts";
import { opaquenessOf } from "../../src/overlay/opaque.ts";
import { shownXattrs } from "../../src/overlay/override-names.ts";
import { type OverrideAttribute, overriddenStat } from "../../src/overlay/override-stat.ts";
import { redirectOf } from "../../src/overlay/redirect.ts";
import { isWhiteout, isXattrWhiteout } from "../../src/overlay/whiteout.ts";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { childPath, type HostPath, joinHost, ROOT } from "../../src/paths.ts";
import { statDirectory } from "../../src/sys/directory.ts";
import { AT_FDCWD } from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { isDirectory, isRegularFile, type LayerDiff, type LayerNode } from "./change.ts";
import { DiffCollector } from "./collector.ts";
import type { CompareOptions } from "./compare.ts";
import type { SeenFile } from "./consistency.ts";
import { nodeOf, TreeWalk } from "./tree-diff.ts";

export interface UpperDiffOptions extends CompareOptions {
  readonly upperdir: HostPath;
  /** The tree that the change is against; null for an image without layers. */
  readonly lower: MergedTree | null;
  /**
   * The tree that the mount shows: the upperdir on all its lowerdirs, those that are not part of `lower` too; an
   * `IndexedTree` if it was mounted with `index=on`. Made for this call: it remembers what it has seen.
   */
  readonly merged: MergedTree;
  /** Where the upperdir has its overlay attributes. Default "trusted". */
  readonly namespace?: OverlayNamespace;
  /** In which attribute its files keep owner, mode and type; null, the default: they have them themselves. */
  readonly override?: OverrideAttribute | null;
  /** Called once, early in a walk over so many files that reading them takes a while. */
  readonly onMany?: () => void;
}

export interface UpperDiff extends LayerDiff {
  /** Everything of the upperdir that the result depends on. If all of it still is as it was, so is the result. */
  readonly seen: readonly SeenFile[];
}

/** What the upperdir changes. @throws a system error, also if files vanish under the walk */
export function diffUpper(options: UpperDiffOptions): UpperDiff {
  return new UpperWalk(options).run();
}

/** Reading as many files takes longer than starting a thread for it. */
const MANY = 1000;

/** A directory of the upperdir whose entries are still to be looked at. */
interface WaitingDirectory {
  readonly directory: LayerNode;
  /** What the lower tree has at its path. */
  readonly below: MergedEntry | null;
  /** Nothing of that shows unless the upperdir has it too. */
  readonly hides: boolean;
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** An entry of an upperdir, as it is without attributes. */
interface PlainNode extends LayerNode {
  readonly name: string;
  /** It has attributes. */
  readonly isMarked: boolean;
}

class UpperWalk {
  readonly #upperdir: HostPath;
  readonly #lower: MergedTree | null;
  readonly #merged: MergedTree;
  readonly #namespace: OverlayNamespace;
  readonly #override: OverrideAttribute | null;
  readonly #collector: DiffCollector;
  readonly #options: CompareOptions;
  readonly #seen: SeenFile[] = [];
  #onMany: (() => void) | undefined;
  /** A stack, not recursion: trees may be deep. */
  readonly #waiting: WaitingDirectory[] = [];

  constructor(options: UpperDiffOptions) {
    this.#upperdir = options.upperdir;
    this.#lower = options.lower;
    this.#merged = options.merged;
    this.#namespace = options.namespace ?? "trusted";
    this.#override = options.override ?? null;
    this.#collector = new DiffCollector(options);
    this.#options = options;
    this.#onMany = options.onMany;
  }

  run(): UpperDiff {
    if (this.#merged instanceof IndexedTree) {
      const { path, stat } = this.#merged.indexdir;
      this.#seen.push({ hostPath: path, stat });
      if (this.#merged.hasAliases) return this.#compareTrees();
    }
    const hostPath = this.#upperdir;
    const stat = this.#shown(statAt(AT_FDCWD, joinHost(hostPath, ".")), hostPath);
    this.#seen.push({ hostPath: joinHost(hostPath, "."), stat });
    const xattrs = shownXattrs(hostPath, this.#namespace, this.#override);
    const root: LayerNode = { path: ROOT, stat, hostPath, dataPath: hostPath, xattrs };
    const below = this.#lower?.root ?? null;
    if (below !== null) this.#collector.compare(nodeOf(this.#lower, below), root);
    this.#children({ directory: root, below, hides: false }); // as in the kernel, an opaque mark on it does nothing
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) this.#children(next);
    if (this.#collector.mayHaveParted) return this.#compareAll();
    return { ...this.#collector.finish(), seen: this.#seen };
  }

  /** A file that was copied up is as it was, but may have parted from names that only the lower layers have. */
  #compareAll(): UpperDiff {
    const collector = new DiffCollector(this.#options);
    new TreeWalk(this.#lower, this.#merged, collector, () => {}, false).pair(
      this.#lower?.root ?? null,
      this.#merged.root,
    );
    return { ...collector.finish(), seen: this.#seen };
  }

  /** A file of the upperdir shows under names of lower layers: no way to find them but to look everywhere. */
  #compareTrees(): UpperDiff {
    this.#walk(this.#lower?.root ?? null, this.#merged.root);
    return { ...this.#collector.finish(), seen: this.#seen };
  }

  #walk(old: MergedEntry | null, entry: MergedEntry | null): void {
    const visit = ({ layers, hostPath, stat }: MergedEntry): void => {
      if (layers[0] === 0) this.#seen.push({ hostPath, stat });
    };
    new TreeWalk(this.#lower, this.#merged, this.#collector, visit).pair(old, entry);
  }

  #children({ directory, below, hides }: WaitingDirectory): void {
    const nodes = statDirectory(directory.hostPath).map(({ name, stat, isMarked }): PlainNode => {
      const hostPath = joinHost(directory.hostPath, name);
      const path = childPath(directory.path, name);
      return { name, path, stat, hostPath, dataPath: hostPath, xattrs: NO_XATTRS, isMarked };
    });
    for (const node of nodes) this.#seen.push(node); // of one directory together, for who looks at them again
    if (this.#seen.length > MANY) this.#tellMany();
    const waiting = this.#waiting.length;
    for (const node of nodes) {
      this.#child(node, below === null ? null : (this.#lower?.lookup(node.path) ?? null), hides);
    }
    reverseFrom(this.#waiting, waiting); // then what is found is nearly in order, and sorted in a moment
    if (!hides || below === null) return;
    const present = new Set(nodes.map(({ name }) => name));
    for (const gone of this.#lower?.list(below) ?? []) if (!present.has(gone.name)) this.#collector.delete(gone.path);
  }

  #tellMany(): void {
    this.#onMany?.();
    this.#onMany = undefined;
  }

  /** One name of the upperdir, as it is without attributes. `old`: what the lower tree has there. */
  #child(plain: PlainNode, old: MergedEntry | null, hides: boolean): void {
    const { path, hostPath, isMarked } = plain;
    if (isWhiteout(plain.stat) || (isMarked && isXattrWhiteout(hostPath, plain.stat, this.#namespace))) {
      if (old !== null) this.#collector.delete(path);
      return;
    }
    const stat = this.#shown(plain.stat, hostPath);
    const unfit = this.#collector.unfit(plain.name, stat.mode);
    if (unfit !== null) {
      this.#collector.skip(path, unfit, old !== null);
      return;
    }
    const xattrs = isMarked ? shownXattrs(hostPath, this.#namespace, this.#override) : plain.xattrs;
    const node = isMarked || stat !== plain.stat ? { ...plain, stat, xattrs } : plain;
    if (isDirectory(stat)) this.#directory(node, old, hides, isMarked);
    else this.#collector.compare(nodeOf(this.#lower, old), isMarked ? this.#withContent(node) : node);
  }

  #shown(stat: Stat, hostPath: HostPath): Stat {
    return this.#override === null ? stat : overriddenStat(stat, hostPath, this.#override);
  }

  #directory(node: LayerNode, old: MergedEntry | null, hides: boolean, isMarked: boolean): void {
    if (isMarked && redirectOf(node.hostPath, this.#namespace) !== null) {
      this.#walk(old, this.#merged.lookup(node.path));
      return;
    }
    this.#collector.compare(nodeOf(this.#lower, old), node);
    const opaque = hides || (isMarked && opaquenessOf(node.hostPath, this.#namespace) === "opaque");
    this.#waiting.push({ directory: node, below: old, hides: opaque });
  }

  /** A metacopy file with the file below that has its content. */
  #withContent(node: LayerNode): LayerNode {
    if (!isRegularFile(node.stat) || !isMetacopy(node.hostPath, this.#namespace)) return node;
    const entry = this.#merged.lookup(node.path);
    return entry === null ? node : { ...node, dataPath: entry.dataPath };
  }
}

/** Turns the elements from `start` on around: a stack then gives them in their old order. */
function reverseFrom<Element>(stack: Element[], start: number): void {
  for (const element of stack.splice(start).reverse()) stack.push(element);
}
