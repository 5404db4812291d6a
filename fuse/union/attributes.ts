/** What stat(2) shows: a file's own attributes with the mount's inode number, link count and id mapping. */

import type { Stat } from "../../src/sys/stat.ts";
import type { IdRange } from "../options.ts";
import type { Attributes } from "../protocol/reply.ts";
import { nlinkOf } from "./hard-links.ts";
import { shownCtime } from "./hidden-change.ts";
import type { Node } from "./node.ts";
import type { Union } from "./union.ts";

/** What ids without a place in the mapping are shown as. */
const OVERFLOW_ID = 65534;

export function attributesOf(union: Union, node: Node, stat: Stat): Attributes {
  const { options } = union;
  return {
    stat,
    ctime: shownCtime(node, stat),
    ino: node.ino,
    nlink: node.isDirectory ? directoryLinks(union, node, stat) : nlinkOf(node, stat),
    uid: options.squashUid ?? shownId(stat.uid, options.uidMapping),
    gid: options.squashGid ?? shownId(stat.gid, options.gidMapping),
    mode: stat.mode,
  };
}

/** A merged directory's is 1, as in overlayfs: programs take that for "not counted". */
function directoryLinks(union: Union, node: Node, stat: Stat): number {
  if (stat.nlink === 0 || node.isOrphan) return 0;
  const places = node.lowers.length + (node.upper ? 1 : 0);
  return union.options.staticNlink || places > 1 ? 1 : stat.nlink;
}

/** The id on disk for one that the kernel gives. */
export function uidOnDisk(union: Union, uid: number): number {
  return union.options.squashUid === null ? idOnDisk(uid, union.options.uidMapping) : uid;
}

export function gidOnDisk(union: Union, gid: number): number {
  return union.options.squashGid === null ? idOnDisk(gid, union.options.gidMapping) : gid;
}

function shownId(id: number, mapping: readonly IdRange[]): number {
  if (mapping.length === 0) return id;
  const range = mapping.find(({ onDisk, count }) => id >= onDisk && id < onDisk + count);
  return range === undefined ? OVERFLOW_ID : id - range.onDisk + range.shown;
}

function idOnDisk(id: number, mapping: readonly IdRange[]): number {
  if (mapping.length === 0) return id;
  const range = mapping.find(({ shown, count }) => id >= shown && id < shown + count);
  return range === undefined ? OVERFLOW_ID : id - range.shown + range.onDisk;
}
