/**
 * Directory listings as the kernel gives them (getdents64(2), `struct linux_dirent64`): with inode numbers and types, in
 * the file system's order, from an open descriptor.
 */

import { check, declare } from "./libc.ts";

// Six arguments, because syscall(2) loads as many whatever the number takes.
const getdents = declare<number>(
  "long syscall(long number, int fd, void *buffer, size_t size, long d, long e, long f)",
);
const SYS_GETDENTS64 = process.arch === "arm64" ? 61 : 217;

/** `d_type` (dirent.h). */
export const DT = { unknown: 0, fifo: 1, chr: 2, dir: 4, blk: 6, reg: 8, lnk: 10, sock: 12 } as const;

const HEADER_BYTES = 19;
const buffer = Buffer.allocUnsafeSlow(256 << 10);
/** The same as numbers, the low half first as on every machine we run on: every entry begins at a multiple of 8. */
const halves = new Uint16Array(buffer.buffer);
const words = new Uint32Array(buffer.buffer);

/**
 * Calls `each` with every entry of an open directory but "." and "..", from the position of `fd`, which must be fresh.
 * Names are byte strings; `each` must not list a directory itself. @throws PosixError
 */
export function forEachDirent(fd: number, each: (name: string, type: number, ino: number) => void): void {
  for (;;) {
    const size = check(Number(getdents(SYS_GETDENTS64, fd, buffer, buffer.length, 0, 0, 0)), "getdents64");
    if (size === 0) return;
    for (let at = 0; at < size; at += halves[(at + 16) / 2] as number) {
      let end = at + HEADER_BYTES;
      while (buffer[end] !== 0) end++;
      const name = buffer.toString("latin1", at + HEADER_BYTES, end);
      if (name === "." || name === "..") continue;
      const ino = (words[at / 4] as number) + (words[at / 4 + 1] as number) * 0x1_0000_0000;
      each(name, buffer[at + 18] as number, ino);
    }
  }
}
