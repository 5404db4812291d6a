/** Directory entries in the replies to READDIR and READDIRPLUS (`struct fuse_dirent`, `struct fuse_direntplus`). */

import type { Reply } from "./reply.ts";

const HEADER_BYTES = 24;
export const ENTRY_OUT_BYTES = 128;

/** The bytes an entry takes: padded, so that the next starts on a multiple of eight. */
export function direntBytes(name: string): number {
  return (HEADER_BYTES + name.length + 7) & ~7;
}

/** Appends an entry. `offset` is where a reader goes on after it. */
export function appendDirent(reply: Reply, name: string, ino: number, type: number, offset: number): void {
  const end = reply.size + direntBytes(name);
  reply.u64(ino);
  reply.u64(offset);
  reply.u32(name.length);
  reply.u32(type);
  reply.text(name);
  reply.buffer.fill(0, reply.size, end);
  reply.size = end;
}
