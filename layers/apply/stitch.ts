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
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../src/sys/file.ts";
import { badPath, duplicate } from "./directories.ts";
import { LayerTree } from "./layer-tree.ts";
import { MovedDirectories } from "./moved-directories.ts";
import { isDirectory, StackedLayer } from "./stacked-layer.ts";
import type { Unpacked } from "./unpacker.ts";
import { type Unsettled, UnsettledReader } from "./unsettled.ts";

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
  using tree = new LayerTree(joinHost(directory, "diff"), form);
  const layer = new StackedLayer(tree, lowerdirs.length === 0 ? null : new MergedTree(lowerdirs, form));
  const stitching = new Stitching(layer);
  for (const { path } of unsettled?.all("directory") ?? []) stitching.finishImplicit(path);
  for (const { path } of unsettled?.all("whiteout") ?? []) stitching.settleWhiteout(path);
  for (const link of unsettled?.all("link") ?? []) stitching.link(link);
  if (unpacked.opaqueRoot || stitching.isRootOpaque) stitching.hideRoot();
  layer.restoreTimes();
  return stitching.files();
}

class Stitching {
  readonly #layer: StackedLayer;
  readonly #moved: MovedDirectories;
  readonly #copied: LayerPath[] = [];
  /** What has been made here for hard links. */
  readonly #made = new Set<LayerPath>();

  constructor(layer: StackedLayer) {
    this.#layer = layer;
    this.#moved = new MovedDirectories(layer);
  }

  /** Parents come before children, so a child of a moved directory is found through its parent. */
  finishImplicit(original: LayerPath): void {
    this.#layer.bound();
    const path = this.#moved.entryOf(original);
    if (this.#moved.isSettled(original, path)) return;
    const lower = this.#layer.lookup(path);
    if (lower === null) return;
    if ((lower.stat.mode & S_IFMT) === S_IFLNK) {
      const destination = this.#layer.resolve(path, (at) => this.#layer.lowerSymlink(at));
      this.#moved.move(original, path, destination);
    } else if (isMergedDirectory(lower)) {
      this.#layer.copyMetadata(lower.stat, lower.hostPath, path);
    } else {
      throw badPath(path, "it is a directory in this layer's tar and a file in a lower layer");
    }
  }

  link({ path, target }: Unsettled): void {
    if (this.#layer.lower === null) throw brokenLink(path, target, "not there");
    this.#layer.bound();
    const place = this.#moved.entryOf(path);
    const source = this.#sourceOf(target, path);
    this.#layer.disturb(parentPath(place));
    try {
      this.#layer.tree.link(source, place);
      this.#made.add(place);
    } catch (error) {
      if (isErrno(error, "EEXIST")) throw duplicate(place);
      throw error;
    }
  }

  get isRootOpaque(): boolean {
    return this.#moved.isRootOpaque;
  }

  hideRoot(): void {
    if (this.#layer.lower === null) return;
    for (const { name } of this.#layer.lower.list(this.#layer.lower.root)) {
      const path = childPath(ROOT, name);
      const own = this.#layer.tree.stat(path);
      this.#layer.disturb(ROOT);
      if (own === null) this.#layer.tree.makeWhiteout(path);
      else if (isDirectory(own)) this.#layer.tree.setOpaque(path);
    }
  }

  settleWhiteout(path: LayerPath): void {
    this.#layer.bound();
    const place = this.#moved.entryOf(path);
    const directory = parentPath(place);
    const lower = this.#layer.lookup(directory);
    if (lower !== null && isMergedDirectory(lower)) return;
    const own = this.#layer.tree.stat(place);
    if (own === null || !isWhiteout(own)) return; // it met an entry of this layer where it has moved to
    this.#layer.disturb(directory);
    this.#layer.tree.remove(place);
  }

  files(): StitchedFiles {
    return { placeOf: this.#moved.isNone ? null : (path) => this.#moved.entryOf(path), copied: this.#copied };
  }

  /**
   * The path in this layer of the file that a hard link names, copied up from below if it is not here.
   *
   * Nothing of that name was in this layer when its tar came to the link. What is there now came later, or replaces a
   * whiteout, and is not what the link means.
   */
  #sourceOf(target: LayerPath, link: LayerPath): LayerPath {
    const wanted = this.#moved.entryOf(target);
    const parent = this.#layer.resolve(parentPath(wanted), (at) => this.#layer.mergedSymlink(at));
    const source = childPath(parent, baseName(wanted));
    if (this.#made.has(source)) return source;
    const own = this.#layer.tree.stat(source);
    if (own !== null && isWhiteout(own)) throw brokenLink(link, target, "deleted by the same layer");
    if (own !== null && isDirectory(own)) throw brokenLink(link, target, "a directory");
    const lower = this.#layer.hides(source) ? null : this.#layer.lookup(source);
    if (own !== null) {
      if (lower !== null && source === target) throw brokenLink(link, target, "replaced by the same layer");
      return source;
    }
    if (lower === null) throw brokenLink(link, target, "not there");
    if (isMergedDirectory(lower)) throw brokenLink(link, target, "a directory");
    this.#layer.ensureDirectory(parent);
    this.#layer.disturb(parent);
    this.#copyUp(lower, source);
    this.#made.add(source);
    return source;
  }

  #copyUp(from: MergedEntry, to: LayerPath): void {
    const { mode, rdevMajor, rdevMinor } = from.stat;
    const type = mode & S_IFMT;
    if (type === S_IFREG) this.#copyContent(from, to);
    else if (type === S_IFLNK) this.#layer.tree.symlink(readlinkAt(AT_FDCWD, from.hostPath), to);
    else this.#layer.tree.makeNode(to, mode, rdevMajor, rdevMinor);
    this.#layer.copyMetadata(from.stat, from.hostPath, to);
  }

  #copyContent(from: MergedEntry, to: LayerPath): void {
    this.#copied.push(to);
    const source = openAt(AT_FDCWD, from.dataPath, O_RDONLY | O_NOFOLLOW);
    try {
      const destination = this.#layer.tree.create(to);
      try {
        copyData(source, destination, from.stat.sizeBytes);
      } finally {
        close(destination);
      }
    } finally {
      close(source);
    }
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
