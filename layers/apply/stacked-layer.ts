/**
 * A layer that is being finished, on top of the layers below it: what the two show together, and the changes that the rest
 * of stitching is made of. They keep the times of directories, which `restoreTimes` puts back.
 */

import { isMergedDirectory, type MergedEntry, type MergedTree } from "../../src/overlay/merged-tree.ts";
import { opaquenessOf } from "../../src/overlay/opaque.ts";
import { childPath, type LayerPath, parentPath, ROOT } from "../../src/paths.ts";
import { AT_FDCWD, readlinkAt, S_IFDIR, S_IFLNK, S_IFMT } from "../../src/sys/file.ts";
import type { Stat } from "../../src/sys/stat.ts";
import { getXattr, listXattrs, type XattrTarget } from "../../src/sys/xattr.ts";
import { badPath } from "./directories.ts";
import type { LayerTree } from "./layer-tree.ts";

const MAX_SYMLINKS = 40;
/** What is remembered of directories, so that memory does not follow their number. */
const MAX_REMEMBERED = 4096;

/** Attributes that overlayfs keeps about the lower entry itself: not the payload's escaped ones. */
const OVERLAY_OWN = { trusted: /^trusted\.overlay\.(?!overlay\.)/, user: /^user\.overlay\.(?!overlay\.)/ };

export class StackedLayer {
  readonly tree: LayerTree;
  /** null for the base. */
  readonly lower: MergedTree | null;
  /** Directories whose times a change here disturbs, with the times to restore. */
  readonly #times = new Map<LayerPath, bigint>();
  /** What `hides` has found out since the last change: a path of two thousand names is asked about name by name. */
  readonly #hidden = new Map<LayerPath, boolean>();

  constructor(tree: LayerTree, lower: MergedTree | null) {
    this.tree = tree;
    this.lower = lower;
  }

  /** What the layers below show. */
  lookup(path: LayerPath): MergedEntry | null {
    return this.lower === null ? null : this.lower.lookup(path);
  }

  /** The target of the symbolic link that the layers below have at `path`; null if they have none there. */
  lowerSymlink(path: LayerPath): string | null {
    const entry = this.lookup(path);
    const isSymlink = entry !== null && (entry.stat.mode & S_IFMT) === S_IFLNK;
    return isSymlink ? readlinkAt(AT_FDCWD, entry.hostPath) : null;
  }

  /** As `lowerSymlink`, for this layer on top of them. */
  mergedSymlink(path: LayerPath): string | null {
    const own = this.tree.stat(path);
    if (own === null) return this.hides(path) ? null : this.lowerSymlink(path);
    return (own.mode & S_IFMT) === S_IFLNK ? this.tree.readlink(path) : null;
  }

  /** True if nothing of the layers below shows at `path`, because of what this layer has above it. */
  hides(path: LayerPath): boolean {
    if (path === ROOT) return false;
    const known = this.#hidden.get(path);
    if (known !== undefined) return known;
    const hides = this.#hidesAbove(path);
    if (this.#hidden.size >= MAX_REMEMBERED) this.#hidden.clear();
    this.#hidden.set(path, hides);
    return hides;
  }

  #hidesAbove(path: LayerPath): boolean {
    const parent = parentPath(path);
    if (this.hides(parent)) return true;
    const own = this.tree.stat(parent);
    if (own === null || parent === ROOT) return false;
    return !isDirectory(own) || this.isOpaque(parent);
  }

  /** Gives the directories that were disturbed their times again. */
  restoreTimes(): void {
    for (const [path, mtimeNs] of this.#times) this.tree.setTime(path, mtimeNs);
    this.#times.clear();
  }

  /** Call it between two changes: who is at one relies on the times that are kept. One disturbed again is kept again. */
  bound(): void {
    if (this.#times.size >= MAX_REMEMBERED) this.restoreTimes();
  }

  /**
   * The place that `path` leads to, inside the root, with the symbolic links that `symlinkAt` knows. It need not be
   * there.
   */
  resolve(path: LayerPath, symlinkAt: (path: LayerPath) => string | null): LayerPath {
    let at: LayerPath = ROOT;
    let symlinks = 0;
    const names = path.split("/").reverse();
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        at = parentPath(at); // ".." of the root is the root, as inside a container
        continue;
      }
      const next = childPath(at, name);
      const target = symlinkAt(next);
      if (target === null) {
        at = next;
        continue;
      }
      symlinks += 1;
      if (symlinks > MAX_SYMLINKS) throw badPath(path, "it is a symbolic link in a lower layer that leads in circles");
      if (target.startsWith("/")) at = ROOT;
      names.push(...target.split("/").reverse());
    }
    return at;
  }

  /** Makes a directory of the layer, and its parents, with the metadata they have below. */
  ensureDirectory(path: LayerPath): void {
    const existing = this.tree.stat(path);
    if (existing !== null) {
      if (!isDirectory(existing)) throw badPath(path, "it is a directory in a lower layer, a file here");
      return;
    }
    this.ensureDirectory(parentPath(path));
    this.disturb(parentPath(path));
    this.tree.makeDirectory(path, 0o755);
    const lower = this.lookup(path);
    if (lower !== null && !isMergedDirectory(lower)) throw badPath(path, "it is a file in a lower layer");
    if (lower === null) this.#times.set(path, 0n);
    else this.copyMetadata(lower.stat, lower.hostPath, path);
  }

  /** Gives `to`, which is new here or has no attributes, owner, mode, attributes and time of another file. */
  copyMetadata(stat: Stat, source: XattrTarget, to: LayerPath, mtimeNs = stat.mtimeNs): void {
    this.tree.setOwner(to, stat.uid, stat.gid);
    if ((stat.mode & S_IFMT) !== S_IFLNK) this.tree.setMode(to, stat.mode);
    for (const name of listXattrs(source)) {
      const value = OVERLAY_OWN[this.tree.form.namespace].test(name) ? null : getXattr(source, name);
      if (value !== null) this.tree.setXattr(to, name, value);
    }
    this.tree.setTime(to, mtimeNs);
    if (isDirectory(stat)) this.#times.set(to, mtimeNs);
  }

  /** Remembers the times of a directory before something in it changes. */
  disturb(path: LayerPath): void {
    this.#hidden.clear();
    if (this.#times.has(path)) return;
    const stat = this.tree.stat(path);
    if (stat !== null) this.#times.set(path, stat.mtimeNs);
  }

  /** When the directory at `path`, of which `stat` was read just now, had changed before stitching began. */
  timeBefore(path: LayerPath, stat: Stat): bigint {
    return this.#times.get(path) ?? stat.mtimeNs;
  }

  /** The directory at `path` is gone. */
  forgetTime(path: LayerPath): void {
    this.#times.delete(path);
  }

  /** Of the layer alone. */
  isOpaque(path: LayerPath): boolean {
    return opaquenessOf(this.tree.xattrTarget(path), this.tree.form.namespace) === "opaque";
  }

  /** The attributes of a file of the layer, without those of overlayfs. */
  ownXattrs(path: LayerPath): readonly string[] {
    const own = OVERLAY_OWN[this.tree.form.namespace];
    return listXattrs(this.tree.xattrTarget(path)).filter((name) => !own.test(name));
  }
}

/** True if it is a directory of the layer alone. */
export function isDirectory({ mode }: Stat): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}
