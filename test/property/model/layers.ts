/**
 * Layers as values, and what a stack of them shows: `merged` is the definition of a union file system. A layer is a tree
 * and two kinds of marks: a whiteout hides one entry of the layers below, an opaque directory all that they have in it.
 */

import { display } from "../../../src/paths.ts";
import {
  byPath,
  EMPTY,
  type Inode,
  inodeAt,
  inodeOf,
  join,
  type Path,
  parentOf,
  type Tree,
  withInode,
  withName,
  without,
  wordOf,
} from "./tree.ts";

export interface Layer {
  readonly tree: Tree;
  readonly whiteouts: ReadonlySet<Path>;
  readonly opaque: ReadonlySet<Path>;
}

/** What a stack shows, base first. Nothing is below the first. */
export function merged(layers: readonly Layer[]): Tree {
  return layers.reduce(put, EMPTY);
}

/** One layer on a tree: its changes, in the order of the paths, so that directories come before what is in them. */
function put(below: Tree, { tree, whiteouts, opaque }: Layer): Tree {
  let shown = below;
  for (const path of whiteouts) shown = without(shown, path);
  const numbers = new Map<number, number>(); // an inode of the layer, as it is numbered in the result
  for (const [path, number] of [...tree.names].sort(byPath)) {
    const inode = tree.inodes[number];
    if (inode === undefined) continue;
    const isMerged = inode.kind === "directory" && inodeAt(shown, path)?.kind === "directory";
    if (opaque.has(path) && path !== "") shown = without(shown, path); // the kernel looks for no mark on the root
    if (isMerged && !opaque.has(path)) shown = withInode(shown, path, inode);
    else if (path === "") shown = withInode(shown, path, inode);
    else {
      shown = withName(without(shown, path), path, numbers.get(number) ?? inode);
      numbers.set(number, shown.names.get(path) ?? 0);
    }
  }
  return shown;
}

/** One thing that a layer is made of (a link may be to the n-th file that there is); entries are put in one after the other, and what does not fit is left out. */
export interface Entry {
  readonly path: Path;
  readonly what: Inode | "whiteout" | "opaque" | { readonly linkTo: Path | number };
}

/** A layer of some entries: directories above are made, and the last entry for a path wins if it can be there. */
export function layerOf(entries: readonly Entry[]): Layer {
  let layer: Layer = { tree: EMPTY, whiteouts: new Set(), opaque: new Set() };
  for (const entry of entries) layer = withEntry(layer, entry);
  return layer;
}

function withEntry(layer: Layer, { path, what }: Entry): Layer {
  const parents = path.split("/").slice(0, -1);
  let { tree, whiteouts, opaque } = layer;
  let above = "";
  for (const name of parents) {
    above = join(above, name);
    const there = inodeAt(tree, above);
    if (whiteouts.has(above) || (there !== undefined && there.kind !== "directory")) return layer;
    if (there === undefined) tree = withName(tree, above, inodeOf("directory"));
  }
  const there = inodeAt(tree, path);
  if (what === "opaque") {
    if (whiteouts.has(path) || (there !== undefined && there.kind !== "directory")) return layer;
    if (there === undefined) tree = withName(tree, path, inodeOf("directory"));
    opaque = new Set(opaque).add(path);
  } else if (there !== undefined || whiteouts.has(path)) {
    return layer;
  } else if (what === "whiteout") {
    whiteouts = new Set(whiteouts).add(path);
  } else if ("linkTo" in what) {
    const number = typeof what.linkTo === "string" ? tree.names.get(what.linkTo) : fileOf(tree, what.linkTo);
    if (number === undefined || tree.inodes[number]?.kind === "directory") return layer;
    tree = withName(tree, path, number);
  } else {
    tree = withName(tree, path, what);
  }
  return { tree, whiteouts, opaque };
}

/** The n-th inode that is no directory, counted around. */
function fileOf(tree: Tree, nth: number): number | undefined {
  const files = [...tree.inodes.keys()].filter((number) => tree.inodes[number]?.kind !== "directory");
  return files[nth % files.length];
}

/** A layer in the house notation. A further name of a file is written `b<=a`. */
export function notationOf({ tree, whiteouts, opaque }: Layer): string {
  const first = new Map<number, Path>();
  const words: [Path, string][] = [...whiteouts].map((path) => [path, display(`-${path}`)]);
  for (const [path, number] of [...tree.names].sort(byPath)) {
    const inode = tree.inodes[number];
    if (inode === undefined || path === "") continue;
    const link = first.get(number);
    if (link === undefined) first.set(number, path);
    words.push([path, link === undefined ? wordOf(path, inode) : display(`${path}<=${link}`)]);
    if (opaque.has(path)) words.push([`${path}/!`, display(`${path}/!`)]);
  }
  return words
    .sort(byPath)
    .map(([, word]) => word)
    .join(" ");
}

/** What a layer says that turns one tree into another: the least that does it. Times are those of `after`. */
export interface Change {
  readonly path: Path;
  /** "A" new, "C" changed, "D" gone. */
  readonly kind: "A" | "C" | "D";
}

/**
 * The listing of a diff. All names of a file are listed if the file differs under one, or if they are other names than before;
 * of a file that has become several like it, all but that with the most names, or the first of these.
 */
export function changesBetween(before: Tree, after: Tree): readonly Change[] {
  const changes: Change[] = [];
  for (const path of before.names.keys()) {
    if (after.names.has(path) || inodeAt(after, parentOf(path))?.kind !== "directory") continue;
    if (inodeAt(before, parentOf(path))?.kind === "directory") changes.push({ path, kind: "D" });
  }
  const groups = [...groupsOf(after)].map(([number, names]) => ({
    number,
    names,
    was: before.names.get(names[0] ?? ""),
  }));
  groups.sort((a, b) => b.names.length - a.names.length); // those of a length stay in the order of their first names
  const spared = new Set<number | undefined>(); // files before, of which what they are now need not be stored
  for (const { number, names, was } of groups) {
    const isKept = names.every(
      (path) => before.names.get(path) === was && isSame(inodeAt(before, path), after.inodes[number]),
    );
    if (!isKept || spared.has(was))
      for (const path of names) changes.push({ path, kind: before.names.has(path) ? "C" : "A" });
    else spared.add(was);
  }
  return changes.sort((a, b) => byPath([a.path, 0], [b.path, 0]));
}

/** The names of each inode, sorted; the inodes by their first. */
function groupsOf(tree: Tree): ReadonlyMap<number, readonly Path[]> {
  const groups = new Map<number, Path[]>();
  for (const [path, number] of [...tree.names].sort(byPath)) {
    const group = groups.get(number);
    if (group === undefined) groups.set(number, [path]);
    else group.push(path);
  }
  return groups;
}

/** A change is what shows, and a time that is now is another than any before. */
function isSame(a: Inode | undefined, b: Inode | undefined): boolean {
  if (a === undefined || b === undefined || a === b) return a === b;
  const { xattrs: left, mode: leftMode, ...restA } = a;
  const { xattrs: right, mode: rightMode, ...restB } = b;
  const isSorted = JSON.stringify(Object.entries(left).sort()) === JSON.stringify(Object.entries(right).sort());
  return (
    isSorted && (a.kind === "symlink" || leftMode === rightMode) && JSON.stringify(restA) === JSON.stringify(restB)
  );
}
