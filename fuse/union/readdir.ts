/** Directory listings (READDIR, READDIRPLUS): from the index, at offsets that stay valid while the directory changes. */

import { isSystemError } from "../../src/errors.ts";
import { DT } from "../../src/sys/dirents.ts";
import { appendDirent, direntBytes, ENTRY_OUT_BYTES } from "../protocol/dirent.ts";
import { OUT_HEADER_BYTES, type Reply, type Timeout } from "../protocol/reply.ts";
import { attributesOf } from "./attributes.ts";
import { type IndexEntry, isVisible } from "./directory-index.ts";
import { shownIno } from "./layer.ts";
import { type Found, lookup } from "./lookup.ts";
import type { Node } from "./node.ts";
import type { Union } from "./union.ts";

/** From this size on a directory is not looked up by the way, unless its reader does look at the entries. */
const LARGE = 30_000;
const NEVER: Timeout = { seconds: 0, rest: 0 };
const DOTS = [".", ".."] as const;

/** Appends entries from `offset` on, as many as fit in `sizeBytes`. */
export function readDirectory(union: Union, directory: Node, offset: number, sizeBytes: number, reply: Reply): void {
  const end = endOf(reply, sizeBytes);
  for (const [at, name] of DOTS.entries()) {
    if (offset > at) continue;
    if (reply.size + direntBytes(name) > end) return;
    appendDirent(reply, name, dotIno(directory, name), DT.dir, at + 1);
  }
  for (const entry of from(union, directory, offset)) {
    if (reply.size + direntBytes(entry.name) > end) return;
    const { ino, type } = listed(union, directory, entry);
    appendDirent(reply, entry.name, ino, type, entry.cookie);
  }
}

/**
 * As `readDirectory`, each entry looked up by the way, so that the kernel need not ask for it. What has no node id in the
 * reply is a name alone to the kernel. `given` gets the nodes that the reply gives the kernel a reference to.
 */
export function readDirectoryPlus(
  union: Union,
  directory: Node,
  offset: number,
  sizeBytes: number,
  reply: Reply,
  valid: Timeout,
  given: Node[],
): void {
  const end = endOf(reply, sizeBytes);
  for (const [at, name] of DOTS.entries()) {
    if (offset > at) continue;
    if (reply.size + ENTRY_OUT_BYTES + direntBytes(name) > end) return;
    reply.noEntry(NEVER); // the kernel looks neither of them up
    appendDirent(reply, name, dotIno(directory, name), DT.dir, at + 1);
  }
  const isPlain = offset > LARGE && !directory.isScanned;
  directory.isScanned = false;
  for (const entry of from(union, directory, offset)) {
    if (reply.size + ENTRY_OUT_BYTES + direntBytes(entry.name) > end) return;
    if (isPlain) {
      reply.noEntry(NEVER);
      const { ino, type } = listed(union, directory, entry);
      appendDirent(reply, entry.name, ino, type, entry.cookie);
      continue;
    }
    const found = lookupListed(union, directory, entry);
    if (found === null) continue;
    if (found === "broken") {
      reply.noEntry({ seconds: 0, rest: 0 }); // who asks for it gets the error, not who lists the others
      appendDirent(reply, entry.name, entry.ino, entry.type, entry.cookie);
      continue;
    }
    const { node, stat } = found;
    reply.entryOut(node.id, attributesOf(union, node, stat), valid);
    node.lookups += 1;
    given.push(node);
    appendDirent(reply, entry.name, node.ino, stat.mode >> 12, entry.cookie);
  }
}

/** An entry as a listing shows it; `type` is a `DT_*`. */
export interface ListedEntry {
  readonly name: string;
  readonly ino: number;
  readonly type: number;
}

/** All entries of a directory as it is now, "." and ".." first. */
export function* listedEntries(union: Union, directory: Node): Generator<ListedEntry> {
  for (const name of DOTS) yield { name, ino: dotIno(directory, name), type: DT.dir };
  for (const entry of from(union, directory, 0)) {
    yield { name: entry.name, ...listed(union, directory, entry) };
  }
}

function endOf(reply: Reply, sizeBytes: number): number {
  return Math.min(OUT_HEADER_BYTES + sizeBytes, reply.buffer.length);
}

/** Null: taken away behind our back. "broken": it cannot be looked up, such as a directory whose redirect is no path. */
function lookupListed(union: Union, directory: Node, entry: IndexEntry): Found | "broken" | null {
  try {
    return lookup(union, directory, entry.name);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return "broken";
  }
}

function* from(union: Union, directory: Node, offset: number): Generator<IndexEntry> {
  if (directory.isOrphan) return;
  const index = union.indexOf(directory);
  const listing = index.listing();
  for (let at = firstAfter(listing, offset); at < listing.length; at++) {
    const entry = listing[at];
    if (entry !== undefined && index.get(entry.name) === entry && isVisible(entry)) yield entry;
  }
}

/** Where the entries begin whose place is beyond `offset`. */
function firstAfter(listing: readonly IndexEntry[], offset: number): number {
  let [low, high] = [0, listing.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((listing[middle]?.cookie ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function dotIno(directory: Node, name: string): number {
  return name === ".." ? (directory.names[0]?.parent.ino ?? directory.ino) : directory.ino;
}

/** What stat(2) would show of inode number and type (`DT_*`); without a system call where the listing tells. */
function listed(union: Union, directory: Node, entry: IndexEntry): { readonly ino: number; readonly type: number } {
  const known = directory.children?.get(entry.name);
  if (known !== undefined) return { ino: known.ino, type: known.type >> 12 };
  const position = entry.lowers[0];
  const isPlain = entry.upper === "none" && position !== undefined && entry.type !== DT.dir;
  const layer = isPlain ? directory.lowers[position]?.layer : undefined;
  if (layer !== undefined && layer.override === null) return { ino: shownIno(layer, entry.ino), type: entry.type };
  return listedByLookup(union, directory, entry);
}

function listedByLookup(
  union: Union,
  directory: Node,
  entry: IndexEntry,
): { readonly ino: number; readonly type: number } {
  const found = lookupListed(union, directory, entry);
  if (found === null || found === "broken") return entry;
  const { ino, type, id, lookups } = found.node;
  if (lookups === 0) union.nodes.forget(id, 0); // the kernel does not know it
  return { ino, type: type >> 12 };
}
