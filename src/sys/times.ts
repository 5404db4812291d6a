/** Access and modification times, one without the other, and "now" by the file system's own clock (utimensat(2)). */

import { PATH_MAX } from "../paths.ts";
import { viaDirectories } from "./file.ts";
import { check, cString, declare } from "./libc.ts";

const utimensat = declare("int utimensat(int dirfd, const void *path, const void *times, int flags)");
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;

/** A time as whole seconds since the epoch and nanoseconds after them; the present; or what it is. */
export type TimeChange = { readonly seconds: number; readonly rest: number } | "now" | "keep";

/** Two `struct timespec`, and the same as 32-bit words, the low one of a pair first, as on every machine we run on. */
const times = Buffer.alloc(32);
const words = new Int32Array(times.buffer, times.byteOffset, times.length / 4);
const TWO_TO_32 = 0x1_0000_0000;

/** Sets the times of `path`, not following a symbolic link, or of the open file if `path` is null. @throws PosixError */
export function setTimesPartly(dirfd: number, path: string | null, atime: TimeChange, mtime: TimeChange): void {
  put(atime, 0);
  put(mtime, 4);
  const flags = path === null ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  if (path !== null && path.length > PATH_MAX) {
    viaDirectories(dirfd, path, (fd, rest) => setTimesPartly(fd, rest, atime, mtime));
  } else check(utimensat(dirfd, cString(path ?? ""), times, flags), "utimensat", path ?? undefined);
}

function put(time: TimeChange, at: number): void {
  const isSet = typeof time === "object";
  const seconds = isSet ? time.seconds : 0;
  const rest = isSet ? time.rest : time === "now" ? UTIME_NOW : UTIME_OMIT;
  words[at] = seconds; // modulo 2^32, also of a time before the epoch
  words[at + 1] = Math.floor(seconds / TWO_TO_32);
  words[at + 2] = rest;
}

const clockGettime = declare("int clock_gettime(int clock, void *time)");
const now = Buffer.alloc(16);

/** The time of day, in whole microseconds since the epoch: what JavaScript's clock tells in milliseconds. */
export function nowUs(): number {
  check(clockGettime(0, now), "clock_gettime");
  return Number(now.readBigInt64LE(0)) * 1_000_000 + Math.floor(Number(now.readBigInt64LE(8)) / 1000);
}
