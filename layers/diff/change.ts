/**
 * What one layer does to the tree below it: as a listing (`A`, `C`, `D` and a path) and with what a layer tar needs of
 * each file (OCI image-spec, layer.md, "Change Types"). Both diffs, of an upperdir and of two trees, give these, so the
 * same change makes the same layer whichever way it was found.
 */

import type { HostPath, LayerPath } from "../../src/paths.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../../src/sys/file.ts";
import type { Stat } from "../../src/sys/stat.ts";

/** What differs. "links": which names share the file. */
export type Aspect = "type" | "mode" | "owner" | "size" | "content" | "mtime" | "xattr" | "device" | "target" | "links";

/** One line of a diff. The root is the path "". */
export interface Change {
  /** Added, changed, deleted. A directory that is deleted or replaced stands for everything that was in it. */
  readonly kind: "A" | "C" | "D";
  readonly path: LayerPath;
  /** For "C", in the order of `Aspect`; [] otherwise. */
  readonly what: readonly Aspect[];
  /** Of a regular file afterwards; 0 for everything else. */
  readonly sizeBytes: number;
}

/** A file, directory … of a tree. */
export interface LayerNode {
  readonly path: LayerPath;
  /** Of the file at `hostPath`. */
  readonly stat: Stat;
  /** The host file with the metadata. */
  readonly hostPath: HostPath;
  /** The host file with the content: another one only for a metacopy file. */
  readonly dataPath: HostPath;
  /** As a mount shows them. May read them at the first use. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** A change with the file it leads to: null for "D". */
export interface LayerChange extends Change {
  readonly node: LayerNode | null;
}

/** Something that a layer tar cannot hold. It is not among the changes. */
export interface SkippedEntry {
  readonly path: LayerPath;
  /** "socket": tar has no type for it; "reserved-name": it begins with ".wh.", which makes it a whiteout in a layer. */
  readonly reason: "socket" | "reserved-name";
}

/** The difference between two trees. Everything is sorted by the bytes of the paths: a directory before what is in it. */
export interface LayerDiff {
  readonly changes: readonly LayerChange[];
  /**
   * The directories above a change that have not changed themselves, without the root. A layer tar holds them all the
   * same: a tool that unpacks it into a directory of its own would make up their modes and owners otherwise.
   */
  readonly parents: readonly LayerNode[];
  readonly skipped: readonly SkippedEntry[];
}

export { WHITEOUT_PREFIX } from "../../src/paths.ts";

export function isDirectory(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFDIR;
}

export function isRegularFile(stat: Stat): boolean {
  return (stat.mode & S_IFMT) === S_IFREG;
}

/** Tells host files apart: names with the same key are hard links of one file. */
export function inodeKey(stat: Stat): string {
  return `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
}

/** Sorts by the bytes of the paths. */
export function byPath(a: { readonly path: LayerPath }, b: { readonly path: LayerPath }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}
