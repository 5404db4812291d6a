/** Directories of the union listed as a program's readdir(3) has it: many calls of READDIR and READDIRPLUS. */

import { Reply } from "../../../fuse/protocol/reply.ts";
import type { Node } from "../../../fuse/union/node.ts";
import { readDirectory, readDirectoryPlus } from "../../../fuse/union/readdir.ts";
import type { UnionWalk } from "./union-walk.ts";

/** Room for an entry with the longest name, and a little more. */
const SMALL_LISTING_BYTES = 448;
/** A listing that takes more does not end. */
const MOST_LISTING_CALLS = 60;
const FOREVER = { seconds: 1, rest: 0 };

export interface Entry {
  readonly name: string;
  /** The offset to go on from. */
  readonly next: number;
}

/** Entries from an offset on, as many at a time as a small buffer holds: by turns plain and with attributes. */
export function listUnion(
  walk: UnionWalk,
  directory: Node,
  offset: number,
  calls = MOST_LISTING_CALLS,
): readonly Entry[] {
  const { union } = walk;
  const entries: Entry[] = [];
  let at = offset;
  for (let call = 0; call < calls; call++) {
    const reply = new Reply(Buffer.alloc(SMALL_LISTING_BYTES + 16));
    const given: Node[] = [];
    const isPlus = call % 2 === 1;
    if (isPlus) readDirectoryPlus(union, directory, at, SMALL_LISTING_BYTES, reply, FOREVER, given);
    else readDirectory(union, directory, at, SMALL_LISTING_BYTES, reply);
    walk.hold(given);
    const some = entriesIn(reply, isPlus);
    const last = some.at(-1);
    if (last === undefined) break;
    at = last.next;
    entries.push(...some);
  }
  return entries.filter(({ name }) => name !== "." && name !== "..");
}

/** `struct fuse_dirent`, after a `struct fuse_entry_out` where the listing has attributes. */
function entriesIn({ buffer, size }: Reply, isPlus: boolean): readonly Entry[] {
  const entries: Entry[] = [];
  for (let at = 16; at < size; ) {
    if (isPlus) at += 128;
    const length = buffer.readUInt32LE(at + 16);
    entries.push({
      name: buffer.toString("latin1", at + 24, at + 24 + length),
      next: Number(buffer.readBigUInt64LE(at + 8)),
    });
    at += (24 + length + 7) & ~7;
  }
  return entries;
}
