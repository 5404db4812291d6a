/**
 * Directories of a layer that lie where a lower layer has a symbolic link: what is in them moves to where the link leads, as if
 * it had been unpacked there.
 */

import { isWhiteout } from "../../src/overlay/whiteout.ts";
import { baseName, childPath, type LayerPath, parentPath, ROOT } from "../../src/paths.ts";
import type { Stat } from "../../src/sys/stat.ts";
import { duplicate } from "./directories.ts";
import { clearXattrs } from "./metadata.ts";
import { isDirectory, type StackedLayer } from "./stacked-layer.ts";

export class MovedDirectories {
  readonly #layer: StackedLayer;
  /** Where directories of the layer have moved to. */
  readonly #moved = new Map<LayerPath, LayerPath>();
  /** Directories that others have moved into, and which of the two has said what their metadata is. */
  readonly #met = new Map<LayerPath, "unsaid" | "listed">();
  /** A directory that hides everything below has moved to the root. */
  isRootOpaque = false;

  constructor(layer: StackedLayer) {
    this.#layer = layer;
  }

  get isNone(): boolean {
    return this.#moved.size === 0;
  }

  /** Where a directory of the layer's tar leads to now. */
  directoryOf(path: LayerPath): LayerPath {
    const moved = this.#moved.get(path);
    if (moved !== undefined || path === ROOT) return moved ?? path;
    const place = this.entryOf(path);
    return this.#moved.get(place) ?? place; // a link that leads above itself leads there again
  }

  /** Where an entry of the layer's tar is now. */
  entryOf(path: LayerPath): LayerPath {
    return path === ROOT ? ROOT : childPath(this.directoryOf(parentPath(path)), baseName(path));
  }

  /** True if the metadata of the directory that the tar has at `original`, and that is at `place` now, is no more in question. */
  isSettled(original: LayerPath, place: LayerPath): boolean {
    const met = this.#met.get(place);
    return met === "listed" || (place !== original && (met === "unsaid" || this.#layer.tree.stat(place) === null));
  }

  /** Moves what is in the directory that the tar has at `original`, and that is at `place` now, to `destination`. */
  move(original: LayerPath, place: LayerPath, destination: LayerPath): void {
    this.#moveInto(place, destination);
    this.#moved.set(original, destination);
    this.#moved.set(place, destination);
  }

  /**
   * Moves what is in directory `from` of the layer into `to`, merging directories, and removes `from`. Where `to` is above
   * `from` (`X11 -> .`), some of it may come back into `from`, and is moved again: each time it has fewer names above it.
   */
  #moveInto(from: LayerPath, to: LayerPath): void {
    this.#layer.ensureDirectory(to);
    this.#layer.disturb(parentPath(from));
    this.#layer.disturb(to);
    for (let names = this.#layer.tree.list(from); names.length > 0; names = this.#layer.tree.list(from)) {
      for (const { name } of names) this.#moveEntry(childPath(from, name), childPath(to, name));
    }
    if (this.#layer.isOpaque(from)) {
      if (to === ROOT) this.isRootOpaque = true;
      else this.#layer.tree.setOpaque(to);
    }
    this.#layer.tree.removeDirectory(from);
    this.#layer.forgetTime(from);
  }

  #moveEntry(source: LayerPath, destination: LayerPath): void {
    const moving = this.#layer.tree.stat(source);
    if (moving === null) return; // it met something that came back
    const existing = this.#layer.tree.stat(destination);
    if (existing !== null && isDirectory(moving) && isDirectory(existing)) {
      this.#meet(source, moving, destination);
      this.#moveInto(source, destination);
    } else if (existing === null || this.#settleMeeting(source, destination, existing)) {
      this.#layer.tree.rename(source, destination);
    }
  }

  /** False for a directory that only has what is below it, as `LayerUnpacker` leaves that. */
  #isListed(path: LayerPath, stat: Stat): boolean {
    if (this.#layer.timeBefore(path, stat) !== 0n) return true;
    if (this.#layer.tree.form.override !== null) return false;
    const { mode, uid, gid } = stat;
    return (mode & 0o7777) !== 0o755 || uid !== 0 || gid !== 0 || this.#layer.ownXattrs(path).length > 0;
  }

  /** Where both directories are listed the one that moves wins. */
  #meet(source: LayerPath, moving: Stat, destination: LayerPath): void {
    if (!this.#isListed(source, moving)) {
      if (!this.#met.has(destination)) this.#met.set(destination, "unsaid");
      return;
    }
    const { tree } = this.#layer;
    const mtimeNs = this.#layer.timeBefore(source, moving);
    clearXattrs(tree.xattrTarget(destination), tree.form);
    this.#layer.copyMetadata(moving, tree.xattrTarget(source), destination, mtimeNs);
    this.#met.set(destination, "listed");
  }

  /**
   * A whiteout that meets an entry of its own layer hides what is below it alone: the whiteout goes, and a directory
   * becomes opaque. True if `source` is to take the place of what was there.
   */
  #settleMeeting(source: LayerPath, destination: LayerPath, existing: Stat): boolean {
    const moving = this.#layer.tree.stat(source);
    const gone = moving !== null && isWhiteout(moving) ? source : isWhiteout(existing) ? destination : null;
    if (gone === null || source.startsWith(`${destination}/`)) throw duplicate(destination);
    const kept = gone === source ? destination : source;
    this.#layer.tree.remove(gone);
    const stat = gone === source ? existing : moving;
    if (stat !== null && isDirectory(stat)) this.#layer.tree.setOpaque(kept);
    return gone === destination;
  }
}
