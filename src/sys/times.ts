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

const times = Buffer.alloc(32);

/** Sets the times of `path`, not following a symbolic link, or of the open file if `path` is null. @throws PosixError */
export function setTimesPartly(dirfd: number, path: string | null, atime: TimeChange, mtime: TimeChange): void {
  put(atime, 0);
  put(mtime, 16);
  const flags = path === null ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  if (path !== null && path.length > PATH_MAX) {
    viaDirectories(dirfd, path, (fd, rest) => setTimesPartly(fd, rest, atime, mtime));
  } else check(utimensat(dirfd, cString(path ?? ""), times, flags), "utimensat", path ?? undefined);
}

function put(time: TimeChange, offset: number): void {
  const [seconds, rest] =
    time === "now" ? [0, UTIME_NOW] : time === "keep" ? [0, UTIME_OMIT] : [time.seconds, time.rest];
  times.writeBigInt64LE(BigInt(seconds), offset);
  times.writeBigInt64LE(BigInt(rest), offset + 8);
}

const clockGettime = declare("int clock_gettime(int clock, void *time)");
const now = Buffer.alloc(16);

/** The time of day, in whole microseconds since the epoch: what JavaScript's clock tells in milliseconds. */
export function nowUs(): number {
  check(clockGettime(0, now), "clock_gettime");
  return Number(now.readBigInt64LE(0)) * 1_000_000 + Math.floor(Number(now.readBigInt64LE(8)) / 1000);
}
