/**
 * Finishes an unpacked layer with what it takes from the layers below it, as if it had been unpacked on top of their
 * merged tree: directories that its tar does not list get the lower directory's metadata; entries below what is a
 * symbolic link in a lower layer move to where it leads, inside the root; hard links to files of a lower layer copy
 * that file up; a root that hides everything whites out each entry below; a whiteout goes again where the layers below
 * have no directory, because overlayfs lists the whiteouts of a directory that it need not merge.
 */

import { IntegrityError, isErrno } from "../../src/errors.ts";
import { type LayerForm, NATIVE } from "../../src/overlay/layer-form.ts";
import { isMergedDirectory, type MergedEntry, MergedTree } from "../../src/overlay/merged-tree.ts";
import { opaquenessOf } from "../../src/overlay/opaque.ts";
import { isWhiteout } from "../../src/overlay/whiteout.ts";
import {
  baseName,
  childPath,
  display,
  type HostPath,
  joinHost,
  type LayerPath,
  parentPath,
  ROOT,
} from "../../src/paths.ts";
import { copyData } from "../../src/sys/copy.ts";
import {
  AT_FDCWD,
  close,
  O_NOFOLLOW,
  O_RDONLY,
  openAt,
  readlinkAt,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../src/sys/file.ts";
import type { Stat } from "../../src/sys/stat.ts";
import { getXattr, listXattrs } from "../../src/sys/xattr.ts";
import { badPath, duplicate } from "./directories.ts";
import { LayerTree } from "./layer-tree.ts";
import type { Unpacked } from "./unpacker.ts";
import { type Unsettled, UnsettledReader } from "./unsettled.ts";

const MAX_SYMLINKS = 40;
/** What is remembered of directories, so that memory does not follow their number. */
const MAX_REMEMBERED = 4096;

/** True if the layer is the same whatever lies below it. */
export function isSelfContained({ unsettled, opaqueRoot }: Unpacked): boolean {
  return unsettled === 0 && !opaqueRoot;
}

/** What stitching did to the regular files that were recorded when the layer was unpacked. */
export interface StitchedFiles {
  /** Where a file that was unpacked at `path` is now; null if none has moved. */
  readonly placeOf: ((path: LayerPath) => LayerPath) | null;
  /** Files copied up from below. */
  readonly copied: readonly LayerPath[];
}

/**
 * Finishes the layer unpacked in `directory`, and removes the file that says what is unsettled. `lowerdirs` are finished
 * layers of the same form, top first.
 * @throws {IntegrityError} `ERR_LAYER_PATH` for an entry below a lower file, `ERR_LAYER_LINK` for a hard link to nothing
 */
export function stitch(
  directory: HostPath,
  unpacked: Unpacked,
  lowerdirs: readonly HostPath[],
  form: LayerForm = NATIVE,
): StitchedFiles {
  using unsettled = unpacked.unsettled === 0 ? null : new UnsettledReader(directory);
  using layer = new LayerTree(joinHost(directory, "diff"), form);
  const stitching = new Stitching(layer, lowerdirs.length === 0 ? null : new MergedTree(lowerdirs, form));
  for (const { path } of unsettled?.all("directory") ?? []) stitching.finishImplicit(path);
  for (const { path } of unsettled?.all("whiteout") ?? []) stitching.settleWhiteout(path);
  for (const link of unsettled?.all("link") ?? []) stitching.link(link);
  if (unpacked.opaqueRoot) stitching.hideRoot();
  stitching.restoreTimes();
  return stitching.files();
}

class Stitching {
  readonly #tree: LayerTree;
  readonly #lower: MergedTree | null;
  /** Directories whose times a change here disturbs, with the times to restore. */
  readonly #times = new Map<LayerPath, bigint>();
  /** Where directories of the layer have moved to. */
  readonly #moved = new Map<LayerPath, LayerPath>();
  readonly #copied: LayerPath[] = [];
  /** What has been made here for hard links. */
  readonly #made = new Set<LayerPath>();
  /** What `#hides` has found out since the last change: a path of two thousand names is asked about name by name. */
  readonly #hidden = new Map<LayerPath, boolean>();

  constructor(tree: LayerTree, lower: MergedTree | null) {
    this.#tree = tree;
    this.#lower = lower;
  }

  /** Parents come before children, so a child of a moved directory is found through its parent. */
  finishImplicit(original: LayerPath): void {
    this.#bound();
    const path = this.#current(original);
    const lower = this.#lookup(path);
    if (lower === null) return;
    if ((lower.stat.mode & S_IFMT) === S_IFLNK) {
      const destination = this.#resolve(path, (at) => this.#lowerSymlink(at));
      this.#moveInto(path, destination);
      this.#moved.set(original, destination);
      return;
    }
    if (!isMergedDirectory(lower)) {
      throw badPath(path, "it is a directory in this layer's tar and a file in a lower layer");
    }
    this.#copyMetadata(lower, path);
  }

  link({ path, target }: Unsettled): void {
    if (this.#lower === null) throw brokenLink(path, target, "not there");
    this.#bound();
    const place = this.#currentEntry(path);
    const source = this.#sourceOf(target, path);
    this.#disturb(parentPath(place));
    try {
      this.#tree.link(source, place);
      this.#made.add(place);
    } catch (error) {
      if (isErrno(error, "EEXIST")) throw duplicate(place);
      throw error;
    }
  }

  hideRoot(): void {
    if (this.#lower === null) return;
    for (const { name } of this.#lower.list(this.#lower.root)) {
      const path = childPath(ROOT, name);
      const own = this.#tree.stat(path);
      this.#disturb(ROOT);
      if (own === null) this.#tree.makeWhiteout(path);
      else if ((own.mode & S_IFMT) === S_IFDIR) this.#tree.setOpaque(path);
    }
  }

  settleWhiteout(path: LayerPath): void {
    this.#bound();
    const place = this.#currentEntry(path);
    const directory = parentPath(place);
    const lower = this.#lookup(directory);
    if (lower !== null && isMergedDirectory(lower)) return;
    const own = this.#tree.stat(place);
    if (own === null || !isWhiteout(own)) return; // it met an entry of this layer where it has moved to
    this.#disturb(directory);
    this.#tree.remove(place);
  }

  restoreTimes(): void {
    for (const [path, mtimeNs] of this.#times) this.#tree.setTime(path, mtimeNs);
    this.#times.clear();
  }

  /** Call it between two changes: who is at one relies on the times that are kept. One disturbed again is kept again. */
  #bound(): void {
    if (this.#times.size >= MAX_REMEMBERED) this.restoreTimes();
  }

  files(): StitchedFiles {
    return { placeOf: this.#moved.size === 0 ? null : (path) => this.#currentEntry(path), copied: this.#copied };
  }

  /** What the layers below show. */
  #lookup(path: LayerPath): MergedEntry | null {
    return this.#lower === null ? null : this.#lower.lookup(path);
  }

  /** The target of the symbolic link that the layers below have at `path`; null if they have none there. */
  #lowerSymlink(path: LayerPath): string | null {
    const entry = this.#lookup(path);
    const isSymlink = entry !== null && (entry.stat.mode & S_IFMT) === S_IFLNK;
    return isSymlink ? readlinkAt(AT_FDCWD, entry.hostPath) : null;
  }

  /** As `#lowerSymlink`, for this layer on top of them. */
  #mergedSymlink(path: LayerPath): string | null {
    const own = this.#tree.stat(path);
    if (own === null) return this.#hides(path) ? null : this.#lowerSymlink(path);
    return (own.mode & S_IFMT) === S_IFLNK ? this.#tree.readlink(path) : null;
  }

  /** True if nothing of the layers below shows at `path`, because of what this layer has above it. */
  #hides(path: LayerPath): boolean {
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
    if (this.#hides(parent)) return true;
    const own = this.#tree.stat(parent);
    if (own === null || parent === ROOT) return false;
    return (
      (own.mode & S_IFMT) !== S_IFDIR ||
      opaquenessOf(this.#tree.xattrTarget(parent), this.#tree.form.namespace) === "opaque"
    );
  }

  /** Where a directory of the layer is now. */
  #current(path: LayerPath): LayerPath {
    const moved = this.#moved.get(path);
    if (moved !== undefined || path === ROOT) return moved ?? path;
    return childPath(this.#current(parentPath(path)), baseName(path));
  }

  #currentEntry(path: LayerPath): LayerPath {
    return childPath(this.#current(parentPath(path)), baseName(path));
  }

  /**
   * The place that `path` leads to, inside the root, with the symbolic links that `symlinkAt` knows. It need not be
   * there.
   */
  #resolve(path: LayerPath, symlinkAt: (path: LayerPath) => string | null): LayerPath {
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

  /** Moves what is in directory `from` of the layer into `to`, merging directories, and removes `from`. */
  #moveInto(from: LayerPath, to: LayerPath): void {
    const isOpaque = opaquenessOf(this.#tree.xattrTarget(from), this.#tree.form.namespace) === "opaque";
    this.#ensureDirectory(to);
    this.#disturb(parentPath(from));
    this.#disturb(to);
    for (const { name, kind } of this.#tree.list(from)) {
      const [source, destination] = [childPath(from, name), childPath(to, name)];
      const existing = this.#tree.stat(destination);
      if (existing !== null && kind === "directory" && (existing.mode & S_IFMT) === S_IFDIR) {
        this.#moveInto(source, destination);
        continue;
      }
      if (existing !== null && !this.#settleMeeting(source, destination, existing)) continue;
      this.#tree.rename(source, destination);
    }
    if (isOpaque) this.#tree.setOpaque(to);
    this.#tree.removeDirectory(from);
    this.#times.delete(from);
  }

  /**
   * A whiteout that meets an entry of its own layer hides what is below it alone: the whiteout goes, and a directory
   * becomes opaque. True if `source` is to take the place of what was there.
   */
  #settleMeeting(source: LayerPath, destination: LayerPath, existing: Stat): boolean {
    const moving = this.#tree.stat(source);
    const gone = moving !== null && isWhiteout(moving) ? source : isWhiteout(existing) ? destination : null;
    if (gone === null) throw duplicate(destination);
    const kept = gone === source ? destination : source;
    this.#tree.remove(gone);
    const stat = gone === source ? existing : moving;
    if (stat !== null && (stat.mode & S_IFMT) === S_IFDIR) this.#tree.setOpaque(kept);
    return gone === destination;
  }

  /** Makes a directory of the layer, and its parents, with the metadata they have below. */
  #ensureDirectory(path: LayerPath): void {
    const existing = this.#tree.stat(path);
    if (existing !== null) {
      if ((existing.mode & S_IFMT) !== S_IFDIR) throw badPath(path, "it is a directory in a lower layer, a file here");
      return;
    }
    this.#ensureDirectory(parentPath(path));
    this.#disturb(parentPath(path));
    this.#tree.makeDirectory(path, 0o755);
    const lower = this.#lookup(path);
    if (lower !== null && !isMergedDirectory(lower)) throw badPath(path, "it is a file in a lower layer");
    if (lower === null) this.#times.set(path, 0n);
    else this.#copyMetadata(lower, path);
  }

  #copyMetadata(from: MergedEntry, to: LayerPath): void {
    this.#tree.setOwner(to, from.stat.uid, from.stat.gid);
    if ((from.stat.mode & S_IFMT) !== S_IFLNK) this.#tree.setMode(to, from.stat.mode);
    for (const name of listXattrs(from.hostPath)) {
      const value = OVERLAY_OWN[this.#tree.form.namespace].test(name) ? null : getXattr(from.hostPath, name);
      if (value !== null) this.#tree.setXattr(to, name, value);
    }
    this.#tree.setTime(to, from.stat.mtimeNs);
    if ((from.stat.mode & S_IFMT) === S_IFDIR) this.#times.set(to, from.stat.mtimeNs);
  }

  /**
   * The path in this layer of the file that a hard link names, copied up from below if it is not here.
   *
   * Nothing of that name was in this layer when its tar came to the link. What is there now came later, or replaces a
   * whiteout, and is not what the link means.
   */
  #sourceOf(target: LayerPath, link: LayerPath): LayerPath {
    const wanted = this.#currentEntry(target);
    const parent = this.#resolve(parentPath(wanted), (at) => this.#mergedSymlink(at));
    const source = childPath(parent, baseName(wanted));
    if (this.#made.has(source)) return source;
    const own = this.#tree.stat(source);
    if (own !== null && isWhiteout(own)) throw brokenLink(link, target, "deleted by the same layer");
    if (own !== null && (own.mode & S_IFMT) === S_IFDIR) throw brokenLink(link, target, "a directory");
    const lower = this.#hides(source) ? null : this.#lookup(source);
    if (own !== null) {
      if (lower !== null && source === target) throw brokenLink(link, target, "replaced by the same layer");
      return source;
    }
    if (lower === null) throw brokenLink(link, target, "not there");
    if (isMergedDirectory(lower)) throw brokenLink(link, target, "a directory");
    this.#ensureDirectory(parent);
    this.#disturb(parent);
    this.#copyUp(lower, source);
    this.#made.add(source);
    return source;
  }

  #copyUp(from: MergedEntry, to: LayerPath): void {
    const { mode, rdevMajor, rdevMinor } = from.stat;
    const type = mode & S_IFMT;
    if (type === S_IFREG) this.#copyContent(from, to);
    else if (type === S_IFLNK) this.#tree.symlink(readlinkAt(AT_FDCWD, from.hostPath), to);
    else this.#tree.makeNode(to, mode, rdevMajor, rdevMinor);
    this.#copyMetadata(from, to);
  }

  #copyContent(from: MergedEntry, to: LayerPath): void {
    this.#copied.push(to);
    const source = openAt(AT_FDCWD, from.dataPath, O_RDONLY | O_NOFOLLOW);
    try {
      const destination = this.#tree.create(to);
      try {
        copyData(source, destination, from.stat.sizeBytes);
      } finally {
        close(destination);
      }
    } finally {
      close(source);
    }
  }

  /** Remembers the times of a directory before something in it changes. */
  #disturb(path: LayerPath): void {
    this.#hidden.clear();
    if (this.#times.has(path)) return;
    const stat = this.#tree.stat(path);
    if (stat !== null) this.#times.set(path, stat.mtimeNs);
  }
}

function brokenLink(link: LayerPath, target: LayerPath, found: string): IntegrityError {
  const [path, wanted] = [display(link), display(target)];
  return new IntegrityError(
    "ERR_LAYER_LINK",
    `Cannot unpack "${path}": it is a hard link to "${wanted}", which is ${found}`,
    { data: { path, target: wanted } },
  );
}

/** Attributes that overlayfs keeps about the lower entry itself: not the payload's escaped ones. */
const OVERLAY_OWN = { trusted: /^trusted\.overlay\.(?!overlay\.)/, user: /^user\.overlay\.(?!overlay\.)/ };
