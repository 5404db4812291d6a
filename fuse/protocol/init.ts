/** INIT: what the kernel can do, what we want of it (`struct fuse_init_in`, `struct fuse_init_out`). */

import { INIT, INIT2, MAJOR, MINOR, OLDEST_MINOR } from "./constants.ts";
import type { Reply } from "./reply.ts";
import type { Request } from "./request.ts";

/** The largest read and write of file content. */
export const MAX_TRANSFER_BYTES = 1 << 20;
const PAGE_BYTES = 4096;
const [MAX_BACKGROUND, CONGESTION] = [64, 48];

export interface Wanted {
  readonly passthrough: boolean;
  readonly writeback: boolean;
  readonly posixAcl: boolean;
}

/** What was agreed on. */
export interface Agreed {
  readonly minor: number;
  readonly hasPassthrough: boolean;
  readonly hasWriteback: boolean;
  /** OPEN may be answered with ENOSYS. */
  readonly mayLeaveOpens: boolean;
}

/** Answers INIT; null if the kernel's protocol is too old to be served, or another major version. */
export function negotiate(request: Request, reply: Reply, wanted: Wanted): Agreed | null {
  const [major, minor, readahead, offered] = [request.u32(0), request.u32(4), request.u32(8), request.u32(12)];
  if (major !== MAJOR || minor < OLDEST_MINOR) return null;
  const offered2 = (offered & INIT.initExt) !== 0 ? request.u32(16) : 0;
  const hasPassthrough = wanted.passthrough && (offered2 & INIT2.passthrough) !== 0;
  const hasWriteback = wanted.writeback && !hasPassthrough && (offered & INIT.writebackCache) !== 0;
  const flags =
    INIT.asyncRead |
    INIT.atomicTruncate |
    INIT.bigWrites |
    INIT.dontMask |
    INIT.readdirplus |
    INIT.asyncDirectIo |
    INIT.noOpen |
    INIT.parallelDirOps |
    INIT.maxPages |
    INIT.cacheSymlinks |
    INIT.noOpendir |
    INIT.killprivV2 |
    INIT.setxattrExt |
    INIT.initExt |
    (wanted.posixAcl ? INIT.posixAcl : 0) |
    (hasWriteback ? INIT.writebackCache : 0);
  reply.u32(MAJOR);
  reply.u32(Math.min(minor, MINOR));
  reply.u32(Math.max(readahead, MAX_TRANSFER_BYTES));
  reply.u32(flags & offered);
  reply.u32((CONGESTION << 16) | MAX_BACKGROUND);
  reply.u32(MAX_TRANSFER_BYTES);
  reply.u32(1); // times are exact to the nanosecond
  reply.u32(MAX_TRANSFER_BYTES / PAGE_BYTES); // max_pages; map_alignment 0
  reply.u32(((hasPassthrough ? INIT2.passthrough : 0) | INIT2.directIoMmap) & offered2);
  reply.u32(hasPassthrough ? 1 : 0); // max_stack_depth: backing files are on ordinary file systems
  for (let unused = 0; unused < 6; unused++) reply.u32(0);
  return { minor, hasPassthrough, hasWriteback, mayLeaveOpens: (offered & INIT.noOpen) !== 0 };
}
