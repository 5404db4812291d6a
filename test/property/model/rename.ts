/** rename(2), renameat2(2): the one call whose errors have an order that is worth a file (fs/namei.c, `do_renameat2`). */

import { at, type Result, spotOf, touched } from "./apply.ts";
import { inodeAt, isBelow, namesIn, type Path, type Tree } from "./tree.ts";

export function rename(tree: Tree, from: Path, to: Path, how: "replace" | "noreplace" | "exchange"): Result {
  const [oldSpot, newSpot] = [spotOf(tree, from, false), spotOf(tree, to, false)];
  const parents = [parentOnly(tree, from), parentOnly(tree, to)].find((errno) => errno !== null);
  if (parents !== undefined && parents !== null) return parents; // both directories are looked for before any name
  if (typeof oldSpot === "string") return oldSpot;
  return at(tree, from, false, (moved) => {
    if (typeof newSpot === "string") return newSpot;
    const target = inodeAt(tree, newSpot.path);
    if (how === "noreplace" && target !== undefined) return "EEXIST";
    if (how === "exchange" && target === undefined) return "ENOENT";
    if (isBelow(newSpot.path, oldSpot.path)) return "EINVAL";
    if (isBelow(oldSpot.path, newSpot.path)) return how === "exchange" ? "EINVAL" : "ENOTEMPTY";
    if (tree.names.get(oldSpot.path) === tree.names.get(newSpot.path)) return tree; // two names of one file
    if (how !== "exchange" && target !== undefined) {
      if (moved.kind === "directory" && target.kind !== "directory") return "ENOTDIR";
      if (moved.kind !== "directory" && target.kind === "directory") return "EISDIR";
      if (target.kind === "directory" && namesIn(tree, newSpot.path).length > 0) return "ENOTEMPTY";
    }
    const names = moveNames(tree, oldSpot.path, newSpot.path, how === "exchange");
    return touched(touched({ ...tree, names }, oldSpot.parent), newSpot.parent);
  });
}

/** The errno of the way to a name's directory; null if it is there. */
function parentOnly(tree: Tree, path: Path): string | null {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return null;
  const spot = spotOf(tree, path.slice(0, slash), true);
  if (typeof spot === "string") return spot;
  const inode = inodeAt(tree, spot.path);
  if (inode === undefined) return "ENOENT";
  return inode.kind === "directory" ? null : "ENOTDIR";
}

/** Everything at and below `from` is at and below `to` then; what was there takes its place, or goes. */
function moveNames(tree: Tree, from: Path, to: Path, isExchange: boolean): ReadonlyMap<Path, number> {
  const isIn = (path: Path, directory: Path): boolean => path === directory || isBelow(path, directory);
  return new Map(
    [...tree.names].flatMap(([path, number]): [Path, number][] => {
      if (isIn(path, from)) return [[to + path.slice(from.length), number]];
      if (!isIn(path, to)) return [[path, number]];
      return isExchange ? [[from + path.slice(to.length), number]] : [];
    }),
  );
}
