/**
 * What a file is, by statx(2) (`struct statx`, linux/stat.h). A walk makes one for every file and looks at little of it,
 * so times and inode numbers, which need BigInts, are put together when they are asked for.
 */

import { isErrno } from "../errors.ts";
import { PATH_MAX } from "../paths.ts";
import { viaDirectories } from "./file.ts";
import { cString, declare, failure, lastErrno } from "./libc.ts";

const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const ENOENT = 2;
const STATX_BASIC_AND_MOUNT_ID = 0x7ff | 0x1000;
const NS = 1_000_000_000n;
const TWO_TO_32 = 0x1_0000_0000;

const statx = declare("int statx(int dirfd, const void *path, int flags, unsigned int mask, void *buffer)");
const buffer = Buffer.alloc(256);
/** A C string of no characters. */
const EMPTY = Buffer.alloc(1);
/** `buffer` as 32-bit words, the low one of a pair first, as on every machine we run on. */
const words = new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length / 4);
const word = (at: number): number => words[at] as number;
/** Exact up to 2^53. A product is a double, which V8 keeps on its heap, where the low word alone mostly is not. */
const unsigned = (at: number): number => (word(at + 1) === 0 ? word(at) : word(at) + word(at + 1) * TWO_TO_32);
const signed = (at: number): number => (word(at + 1) === 0 ? word(at) : word(at) + (word(at + 1) | 0) * TWO_TO_32);

/** What lstat(2) tells, of the last statx in this thread when it is made. Times are nanoseconds since the epoch. */
export class Stat {
  readonly nlink: number = words[4] as number;
  readonly uid: number = words[5] as number;
  readonly gid: number = words[6] as number;
  readonly mode: number = (words[7] as number) & 0xffff;
  readonly sizeBytes: number = unsigned(10);
  readonly blocks512: number = unsigned(12);
  readonly rdevMajor: number = words[32] as number;
  readonly rdevMinor: number = words[33] as number;
  readonly devMajor: number = words[34] as number;
  readonly devMinor: number = words[35] as number;
  readonly mountId: number = unsigned(36);
  readonly blockBytes: number = words[1] as number;
  /** The inode number's low and high 32 bits; of times, whole seconds and the nanoseconds after them. */
  readonly inoLow: number = words[8] as number;
  readonly inoHigh: number = words[9] as number;
  readonly atimeSeconds: number = signed(16);
  readonly atimeRest: number = words[18] as number;
  readonly ctimeSeconds: number = signed(24);
  readonly ctimeRest: number = words[26] as number;
  readonly mtimeSeconds: number = signed(28);
  readonly mtimeRest: number = words[30] as number;

  get ino(): bigint {
    return (BigInt(this.inoHigh) << 32n) | BigInt(this.inoLow);
  }

  get atimeNs(): bigint {
    return BigInt(this.atimeSeconds) * NS + BigInt(this.atimeRest);
  }

  get ctimeNs(): bigint {
    return BigInt(this.ctimeSeconds) * NS + BigInt(this.ctimeRest);
  }

  /** To the microsecond, for what compares with a clock. */
  get ctimeMs(): number {
    return this.ctimeSeconds * 1000 + this.ctimeRest / 1e6;
  }

  get mtimeNs(): bigint {
    return BigInt(this.mtimeSeconds) * NS + BigInt(this.mtimeRest);
  }

  /** Appends what tells files and their changes apart: nobody can set the change time. It may cross to another thread. */
  putState(numbers: number[]): void {
    numbers.push(this.inoLow, this.inoHigh, this.ctimeSeconds, this.ctimeRest, this.sizeBytes);
  }

  /** True if the last statx in this thread found the same state. */
  isOfLastCall(): boolean {
    return (
      this.ctimeRest === word(26) &&
      this.ctimeSeconds === signed(24) &&
      this.inoLow === word(8) &&
      this.inoHigh === word(9) &&
      this.sizeBytes === unsigned(10)
    );
  }

  /** The same with another number of links. */
  withNlink(nlink: number): Stat {
    return Object.assign(Object.create(Stat.prototype), this, { nlink });
  }

  /** The same with another owner, mode and device number. */
  withOwnership(ownership: Pick<Stat, "uid" | "gid" | "mode" | "rdevMajor" | "rdevMinor">): Stat {
    return Object.assign(Object.create(Stat.prototype), this, ownership);
  }
}

/**
 * statx(2) of `path`, of any length, not following a final symbolic link, or of the open file if `path` is null.
 * @throws PosixError
 */
export function statAt(dirfd: number, path: string | null): Stat {
  if (path !== null && path.length > PATH_MAX) return viaDirectories(dirfd, path, statAt);
  if (!call(dirfd, path)) throw failure("statx", path ?? undefined);
  return new Stat();
}

/** As `statAt`; null for ENOENT. @throws PosixError for anything else, ENOTDIR included */
export function statAtOrNull(dirfd: number, path: string): Stat | null {
  if (path.length > PATH_MAX) return longStatOrNull(dirfd, path);
  return isThere(dirfd, path) ? new Stat() : null;
}

function longStatOrNull(dirfd: number, path: string): Stat | null {
  try {
    return viaDirectories(dirfd, path, statAtOrNull);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null; // a directory on the way is not there
    throw error;
  }
}

/** How many numbers `putState` appends. */
export const STATE_NUMBERS = 5;

/** False if the state of the open file is not the one that was put into `numbers` at `at`. @throws PosixError */
export function isInState(fd: number, numbers: Float64Array, at: number): boolean {
  if (!call(fd, null)) throw failure("statx");
  return (
    numbers[at] === word(8) &&
    numbers[at + 1] === word(9) &&
    numbers[at + 2] === signed(24) &&
    numbers[at + 3] === word(26) &&
    numbers[at + 4] === unsigned(10)
  );
}

/** False if the file was changed since `before`, or is another one, or gone. @throws PosixError as `statAtOrNull` */
export function isUnchangedAt(dirfd: number, path: string, before: Stat): boolean {
  return isThere(dirfd, path) && before.isOfLastCall();
}

function isThere(dirfd: number, path: string): boolean {
  if (call(dirfd, path)) return true;
  if (lastErrno() === ENOENT) return false; // without an error object, which would cost four times the call
  throw failure("statx", path);
}

function call(dirfd: number, path: string | null): boolean {
  return path === null
    ? statx(dirfd, EMPTY, AT_EMPTY_PATH, STATX_BASIC_AND_MOUNT_ID, buffer) >= 0
    : statx(dirfd, cString(path), AT_SYMLINK_NOFOLLOW, STATX_BASIC_AND_MOUNT_ID, buffer) >= 0;
}

const STATX_BTIME = 0x800;

/** When a file was made, or null where its file system does not know; as `statAt`. @throws PosixError */
export function birthTimeAt(
  dirfd: number,
  path: string | null,
): { readonly seconds: number; readonly rest: number } | null {
  if (path !== null && path.length > PATH_MAX) return viaDirectories(dirfd, path, birthTimeAt);
  const flags = path === null ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  if (statx(dirfd, cString(path ?? ""), flags, STATX_BTIME, buffer) < 0) throw failure("statx", path ?? undefined);
  return (word(0) & STATX_BTIME) === 0 ? null : { seconds: signed(20), rest: word(22) };
}
