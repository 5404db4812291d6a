/** What a file system has and has left (fstatfs(2), `struct statfs` of 64-bit machines). */

import { check, declare } from "./libc.ts";

const fstatfs = declare("int fstatfs(int fd, void *buffer)");
const buffer = Buffer.alloc(120);

/** The fields that statfs(2) of a mount of ours answers with. Counts are in blocks of `fragmentBytes`. */
export interface FileSystemUse {
  readonly blockBytes: bigint;
  readonly fragmentBytes: bigint;
  readonly blocks: bigint;
  readonly blocksFree: bigint;
  readonly blocksAvailable: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
  readonly nameBytes: bigint;
}

/** @throws PosixError */
export function fileSystemUse(fd: number): FileSystemUse {
  check(fstatfs(fd, buffer), "fstatfs");
  const word = (index: number): bigint => buffer.readBigUInt64LE(index * 8);
  return {
    blockBytes: word(1),
    blocks: word(2),
    blocksFree: word(3),
    blocksAvailable: word(4),
    files: word(5),
    filesFree: word(6),
    nameBytes: word(8),
    fragmentBytes: word(9) || word(1),
  };
}
