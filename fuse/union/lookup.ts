/** From a name to a node (fs/overlayfs/namei.c, `ovl_lookup`). */

import { PosixError } from "../../src/errors.ts";
import { opaquenessOf } from "../../src/overlay/opaque.ts";
import { redirectOf } from "../../src/overlay/redirect.ts";
import { isWhiteout } from "../../src/overlay/whiteout.ts";
import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { NAME_MAX, WHITEOUT_PREFIX } from "../../src/paths.ts";
import { S_IFDIR, S_IFMT } from "../../src/sys/file.ts";
import { type Stat, statAt, statAtOrNull } from "../../src/sys/stat.ts";
import { getXattr } from "../../src/sys/xattr.ts";
import { type IndexEntry, isVisible } from "./directory-index.ts";
import { ERRNO } from "./errno.ts";
import { findIndexed, findLinkedUp } from "./hard-links.ts";
import { childLocation, hostPathAt, type Layer, type Location } from "./layer.ts";
import type { Node } from "./node.ts";
import { originIno } from "./origin.ts";
import { statInOrNull } from "./ownership.ts";
import type { Union } from "./union.ts";

/** A node, and what statx(2) said when it was looked up. */
export interface Found {
  readonly node: Node;
  readonly stat: Stat;
}

/** True for a name that cannot be in the tree: container tools keep whiteouts under such. */
export function isReserved(union: Union, name: string): boolean {
  return union.options.aufs && name.startsWith(WHITEOUT_PREFIX);
}

/**
 * The child `name` of a directory; null if there is none. Its node is made if the kernel does not know it yet.
 * @throws PosixError `ENOTDIR`, `ENAMETOOLONG`, and what the layers' file systems answer
 */
export function lookup(union: Union, parent: Node, name: string): Found | null {
  if (name.length > NAME_MAX) throw new PosixError(ERRNO.ENAMETOOLONG, "lookup");
  const entry = union.indexOf(parent).get(name);
  if (entry === undefined || !isVisible(entry)) return null;
  const known = parent.children?.get(name);
  union.tally.count("nodes", known !== undefined);
  if (known !== undefined) return { node: known, stat: union.statOf(known) };
  return instantiate(union, parent, entry);
}

/** As `lookup`, without asking for attributes of a child that is known. @throws as `lookup` */
export function lookupNode(union: Union, parent: Node, name: string): Node | null {
  const known = parent.children?.get(name);
  if (known !== undefined && isVisible(union.indexOf(parent).get(name))) return known;
  return lookup(union, parent, name)?.node ?? null;
}

function instantiate(union: Union, parent: Node, entry: IndexEntry): Found | null {
  const { name } = entry;
  const isUpper = entry.upper === "present";
  const first = isUpper ? upperLocation(union, parent, name) : lowerLocation(parent, entry.lowers[0], name);
  if (first === null) return null;
  const stat = statInOrNull(first);
  if (stat === null) return null; // taken away behind our back
  const type = stat.mode & S_IFMT;
  if (type === S_IFDIR) return makeDirectory(union, parent, entry, first, stat);
  return makeFile(union, parent, name, first, stat, isUpper);
}

function upperLocation(union: Union, parent: Node, name: string): Location | null {
  return union.upper === null ? null : { layer: union.upper.layer, path: union.childPath(parent, name) };
}

function lowerLocation(parent: Node, position: number | undefined, name: string): Location | null {
  const directory = position === undefined ? undefined : parent.lowers[position];
  return directory === undefined ? null : childLocation(directory, name);
}

function makeFile(union: Union, parent: Node, name: string, at: Location, stat: Stat, isUpper: boolean): Found {
  const ownIno = union.inodeNumber(at.layer, stat);
  const key = stat.nlink > 1 ? `${at.layer.fileSystem}:${stat.ino}` : "";
  const linked = key === "" ? undefined : union.nodes.findLink(key);
  if (linked !== undefined) {
    union.nodes.attach(linked, parent, name);
    return { node: linked, stat: linked.upper === isUpper ? stat : union.statOf(linked) };
  }
  if (key !== "") {
    const copy = isUpper ? findLinkedUp(union, parent, name, at, stat) : findIndexed(union, parent, name, at);
    if (copy !== null) return copy;
  }
  const ino = isUpper && isImpure(union, parent) ? originIno(union, hostPathAt(at.layer, at.path)) : null;
  const node = union.nodes.add(stat.mode & S_IFMT, ino ?? ownIno, isUpper, isUpper ? [] : [at]);
  union.nodes.setLink(node, key);
  if (!isUpper) {
    node.extraNames = union.takenNames.get(key) ?? 0;
    node.lowerBytes = Math.min(stat.sizeBytes, stat.blocks512 * 512);
  }
  union.nodes.attach(node, parent, name);
  return { node, stat };
}

/** True if files of the directory may have been copied up. Asked once a directory. */
function isImpure(union: Union, directory: Node): boolean {
  directory.isImpure ??= getXattr(union.xattrTargetOf(directory), overlayXattr(union.namespace, "impure")) !== null;
  return directory.isImpure;
}

function makeDirectory(union: Union, parent: Node, entry: IndexEntry, first: Location, stat: Stat): Found {
  const isUpper = entry.upper === "present";
  const lowers = lowersOf(union, parent, entry, isUpper ? first : null);
  const [topLower] = lowers;
  const ino =
    isUpper && topLower !== undefined
      ? union.inodeNumber(topLower.layer, statAt(topLower.layer.fd, topLower.path))
      : union.inodeNumber(first.layer, stat);
  const node = union.nodes.add(S_IFDIR, ino, isUpper, lowers);
  union.nodes.attach(node, parent, entry.name);
  return { node, stat };
}

/** The lower directories that are merged at an entry: down to an opaque one, and where redirects lead. */
function lowersOf(union: Union, parent: Node, entry: IndexEntry, upper: Location | null): readonly Location[] {
  const found: Location[] = [];
  if (upper !== null) {
    if (isOpaque(union, upper)) return found;
    const redirect = redirectAt(union, upper);
    if (redirect !== null) return follow(union, redirect, parent.lowers, null, found);
  }
  for (const position of entry.lowers) {
    const location = lowerLocation(parent, position, entry.name);
    if (location === null) break;
    found.push(location);
    if (location.layer.index === union.lowers.length - 1 || isOpaque(union, location)) break;
    const redirect = redirectAt(union, location);
    if (redirect !== null) return follow(union, redirect, parent.lowers.slice(position + 1), location.layer, found);
  }
  return found;
}

/**
 * Goes on where a redirect leads: to a sibling in the directories `below`, or to a path from the roots of the layers below
 * `above`. A redirect on the way there counts for the layers below it.
 */
function follow(
  union: Union,
  redirect: string,
  below: readonly Location[],
  above: Layer | null,
  found: Location[],
): readonly Location[] {
  const isAbsolute = redirect.startsWith("/");
  const directories = isAbsolute ? rootsBelow(union, above) : below;
  let path = redirect;
  for (const [position, directory] of directories.entries()) {
    const step = walk(union, directory, path);
    if (step.location !== null) found.push(step.location);
    if (step.isLast) break;
    if (step.path.startsWith("/") && !isAbsolute) {
      return follow(union, step.path, directories.slice(position + 1), directory.layer, found);
    }
    path = step.path;
  }
  return found;
}

function rootsBelow(union: Union, above: Layer | null): readonly Location[] {
  return union.lowers.slice((above?.index ?? -1) + 1).map((layer) => ({ layer, path: "." }));
}

/** What is at a path in one layer, and what the path is in the layers below it. */
interface Step {
  readonly location: Location | null;
  /** Nothing below this layer shows there. */
  readonly isLast: boolean;
  readonly path: string;
}

/** Name by name, as `ovl_lookup_layer`: each directory on the way may be opaque, or have a redirect. */
function walk(union: Union, directory: Location, path: string): Step {
  const names = path.replace(/^\//, "").split("/");
  const isLowest = directory.layer.index === union.lowers.length - 1;
  let [at, before, isLast] = [directory, path.startsWith("/") ? "/" : "", false];
  for (const [index, name] of names.entries()) {
    const after = names.slice(index + 1).map((each) => `/${each}`);
    at = childLocation(at, name);
    const stat = statAtOrNull(at.layer.fd, at.path);
    if (stat === null) return { location: null, isLast, path: `${before}${name}${after.join("")}` };
    if ((stat.mode & S_IFMT) !== S_IFDIR || isWhiteout(stat)) return { location: null, isLast: true, path };
    const isEnd = isLowest || isOpaque(union, at);
    const redirect = isEnd ? null : redirectAt(union, at);
    const isAway = redirect?.startsWith("/") ?? false;
    isLast = isEnd || (isLast && !isAway); // an opaque directory above does not count for what lies elsewhere
    before = isAway ? (redirect ?? "") : `${before}${redirect ?? name}`;
    if (after.length > 0) before += "/";
  }
  return { location: at, isLast, path: before };
}

function isOpaque(union: Union, { layer, path }: Location): boolean {
  return opaquenessOf(hostPathAt(layer, path), union.namespace) === "opaque";
}

function redirectAt(union: Union, { layer, path }: Location): string | null {
  const redirect = redirectOf(hostPathAt(layer, path), union.namespace);
  if (redirect !== null && !union.options.followRedirect) throw new PosixError(ERRNO.EPERM, "overlay redirect");
  return redirect;
}
