/**
 * Files of lower layers with several names. Copied up, they stay one file: the copy is kept in `workdir/index`, named by
 * the hex of its lower file's handle, and every name shows it, also those that are still below (overlayfs.rst, "Inode
 * properties"; the layout is that of the mount option `index=on`). `overlay.nlink` on the copy says how many more names it
 * has in the merged tree than links in the upperdir.
 */

import { overlayXattr } from "../../src/overlay/xattr-names.ts";
import { joinHost } from "../../src/paths.ts";
import { linkAt, S_IFMT, unlinkAt } from "../../src/sys/file.ts";
import { type Stat, statAtOrNull } from "../../src/sys/stat.ts";
import { getXattr, setXattr, type XattrTarget } from "../../src/sys/xattr.ts";
import { isVisible } from "./directory-index.ts";
import { hostPathAt, type Location } from "./layer.ts";
import type { Found } from "./lookup.ts";
import type { Node } from "./node.ts";
import { originIno, originOf } from "./origin.ts";
import { shownStat } from "./ownership.ts";
import type { Union } from "./union.ts";
import type { Upper } from "./workdir.ts";

/** The name in the index for a lower file; null where its file system gives no handles. */
export function indexNameOf({ layer, path }: Location): string | null {
  return originOf(layer, { fd: layer.fd, path })?.toString("hex") ?? null;
}

/** What a lower name with several links shows, if its file was copied up under another name. */
export function findIndexed(union: Union, parent: Node, name: string, at: Location): Found | null {
  const { upper } = union;
  if (upper === null || !upper.index.isUsed) return null;
  const indexName = indexNameOf(at);
  const indexed = indexName === null ? null : statAtOrNull(upper.index.fd, indexName);
  if (indexName === null || indexed === null) return null;
  const stat = shownStat(upper.layer, indexed, () => joinHost(upper.index.path, indexName));
  const lower = statAtOrNull(at.layer.fd, at.path);
  return enterIndexed(union, upper, parent, name, indexName, stat, union.inodeNumber(at.layer, lower ?? stat));
}

/** What a name in the upperdir is that is a link to a copy in the index: one file with the names that are still below. */
export function findLinkedUp(union: Union, parent: Node, name: string, at: Location, stat: Stat): Found | null {
  const { upper } = union;
  if (upper === null || !upper.index.isUsed) return null;
  const target = hostPathAt(at.layer, at.path);
  const indexName = getXattr(target, overlayXattr(union.namespace, "origin"))?.toString("hex") ?? "";
  const indexed = indexName === "" ? null : statAtOrNull(upper.index.fd, indexName);
  if (indexed === null || indexed.inoLow !== stat.inoLow || indexed.inoHigh !== stat.inoHigh) return null;
  const ino = originIno(union, target) ?? union.inodeNumber(at.layer, stat);
  return enterIndexed(union, upper, parent, name, indexName, stat, ino);
}

function enterIndexed(
  union: Union,
  upper: Upper,
  parent: Node,
  name: string,
  indexName: string,
  stat: Stat,
  ino: number,
): Found {
  const node = union.nodes.findLink(`index:${indexName}`) ?? union.nodes.add(stat.mode & S_IFMT, ino, true, []);
  node.indexName = indexName;
  node.extraNames = storedExtraNames(union, upper, indexName);
  union.nodes.setLink(node, `index:${indexName}`);
  union.nodes.attach(node, parent, name);
  return { node, stat };
}

/** How many names a file has in the merged tree. */
export function nlinkOf(node: Node, stat: Stat): number {
  return Math.max(0, stat.nlink + node.extraNames);
}

/** Notes that the names of a file outnumber its links by `change` more; for an indexed one on disk, else for this mount. */
export function changeExtraNames(union: Union, upper: Upper, node: Node, change: number): void {
  node.extraNames += change;
  if (node.indexName === null) {
    if (node.linkKey !== "") union.takenNames.set(node.linkKey, node.extraNames);
    return;
  }
  storeExtraNames(union, joinHost(upper.index.path, node.indexName), node.extraNames);
}

/** Notes on a copy how many more names it has than links in the upperdir. */
export function storeExtraNames(union: Union, copy: XattrTarget, extraNames: number): void {
  const value = Buffer.from(`U${extraNames < 0 ? "" : "+"}${extraNames}`);
  setXattr(copy, overlayXattr(union.namespace, "nlink"), value);
}

/** Gives a name of an indexed file that is still below a link in the upperdir. */
export function linkUp(union: Union, upper: Upper, node: Node, parent: Node, name: string): void {
  const index = union.indexOf(parent);
  const entry = index.get(name);
  if (node.indexName === null || entry === undefined || !isVisible(entry) || entry.upper === "present") return;
  linkAt(upper.index.fd, node.indexName, upper.layer.fd, union.childPath(parent, name));
  index.setPresent(name, entry.type, entry.ino);
  changeExtraNames(union, upper, node, -1);
}

/** Removes the copy from the index when its last name is gone. */
export function dropFromIndex(upper: Upper, node: Node, stat: Stat): void {
  if (node.indexName === null || nlinkOf(node, stat) > 0) return;
  unlinkAt(upper.index.fd, node.indexName);
  node.indexName = null;
}

function storedExtraNames(union: Union, upper: Upper, indexName: string): number {
  const value = getXattr(joinHost(upper.index.path, indexName), overlayXattr(union.namespace, "nlink"));
  const match = /^U([+-]\d+)$/.exec(value?.toString("latin1") ?? "");
  return match === null ? 0 : Number(match[1]);
}
