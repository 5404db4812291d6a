/**
 * libfuse's calls (libfuse 2.9, fuse.h, `struct fuse_operations`) as fuse-native passes them on, in terms of paths: 32 bits
 * for an inode number and for a handle, whole milliseconds for a time, UTF-8 for a name.
 */

import { constants } from "node:os";
import { PosixError } from "../../src/errors.ts";
import type { Logger } from "../../src/log.ts";
import { display } from "../../src/paths.ts";
import type { FileSystemUse } from "../../src/sys/statfs.ts";
import type { TimeChange } from "../../src/sys/times.ts";
import { type Attributes, decodeDevice, encodeDevice } from "../protocol/reply.ts";
import type { PathOperations } from "../server/path-operations.ts";
import { ERRNO } from "../union/errno.ts";
import type { ListedEntry } from "../union/readdir.ts";
import type { NativeArguments, NativeCall, NativeCalls } from "./fuse-native.ts";

const TWO_TO_32 = 2 ** 32;
const KEEP_ID = 0xffff_ffff;
const STAT_WORDS = 18;
const STATFS_WORDS = 11;
/** Where a listing's entry has its mode and its inode number among the words of a stat: the rest does not count. */
const [MODE_WORD, INO_WORD] = [0, 7];
const ENTRY_WORDS = 8;
/** Where the times of utimens are in the addon's record, in milliseconds (fuse-native.c, 2.2.6, x64). */
const [ATIME_AT, MTIME_AT] = [104, 112];
const NOT_UTF8 = "\u{fffd}";

/** What libfuse may ask of `operations`; `init` is the first that it asks. */
export function nativeCalls(operations: PathOperations, onInit: () => void, log: Logger): NativeCalls {
  const path = (args: NativeArguments): string => bytesOfText(args.text(0));
  const second = (args: NativeArguments): string => bytesOfText(args.text(1));
  return {
    init: plain(onInit),
    getattr: withStat((args) => operations.attributes(path(args))),
    fgetattr: withStat((args) => operations.openAttributes(args.number(1))),
    statfs: {
      answer: () => [0, statfsWords(operations.use())],
      onFailure: () => [new Uint32Array(STATFS_WORDS)],
    },
    readlink: {
      answer: (args) => [0, textOfBytes(operations.readlink(path(args)))],
      onFailure: () => [""],
    },
    readdir: {
      answer: (args) => [0, ...listing(operations.list(path(args)), log)],
      onFailure: () => [[], []],
    },
    mkdir: plain((args) => operations.mkdir(path(args), args.number(1))),
    mknod: plain((args) => operations.mknod(path(args), args.number(1), decodeDevice(args.number(2)))),
    symlink: plain((args) => operations.symlink(path(args), second(args))),
    link: plain((args) => operations.link(path(args), second(args))),
    unlink: plain((args) => operations.unlink(path(args))),
    rmdir: plain((args) => operations.rmdir(path(args))),
    rename: plain((args) => operations.rename(path(args), second(args))),
    chmod: plain((args) => operations.change(path(args), { mode: args.number(1) })),
    chown: plain((args) => operations.change(path(args), newOwner(args.number(1), args.number(2)))),
    truncate: plain((args) => operations.change(path(args), { sizeBytes: args.long(1) })),
    ftruncate: plain((args) => operations.truncateOpen(args.number(1), args.long(2))),
    utimens: plain((args) => operations.change(path(args), newTimes(args))),
    open: opening((args) => operations.open(path(args), args.number(1))),
    create: opening((args) => operations.create(path(args), args.number(1))),
    release: plain((args) => operations.release(args.number(1))),
    read: transfer(2, ({ number, buffer, long }) => operations.read(number(1), buffer(2), long(4))),
    write: transfer(2, ({ number, buffer, long }) => operations.write(number(1), buffer(2), long(4))),
    fsync: plain((args) => operations.sync(args.number(2), args.number(1) !== 0)),
    fsyncdir: plain((args) => operations.syncDirectory(path(args))),
    setxattr: attribute(2, (args, value) => {
      operations.setXattr(path(args), second(args), value, args.number(4));
      return 0;
    }),
    getxattr: attribute(2, (args, room) => fill(room, operations.getXattr(path(args), second(args)))),
    listxattr: attribute(1, (args, room) => fill(room, namesOf(operations.listXattrs(path(args))))),
    removexattr: plain((args) => operations.removeXattr(path(args), second(args))),
  };
}

function plain(call: (args: NativeArguments) => void): NativeCall {
  return {
    answer: (args) => {
      call(args);
      return [0];
    },
    onFailure: () => [],
  };
}

function withStat(call: (args: NativeArguments) => Attributes): NativeCall {
  return { answer: (args) => [0, statWords(call(args))], onFailure: () => [new Uint32Array(STAT_WORDS)] };
}

function opening(call: (args: NativeArguments) => number): NativeCall {
  return { answer: (args) => [0, call(args)], onFailure: () => [0] };
}

/** The memory of libfuse at `position` goes back in any case, and is not ours any more. */
function transfer(position: number, call: (args: NativeArguments) => number): NativeCall {
  const rest = (args: NativeArguments) => [0, args.buffer(position).buffer] as const;
  return { answer: (args) => [call(args), ...rest(args)], onFailure: rest };
}

function attribute(position: number, call: (args: NativeArguments, buffer: Buffer) => number): NativeCall {
  const rest = (args: NativeArguments) => [args.buffer(position).buffer] as const;
  return { answer: (args) => [call(args, args.buffer(position)), ...rest(args)], onFailure: rest };
}

/** A value into the room that there is for it; none asks for its size. */
function fill(room: Buffer, value: Buffer): number {
  if (room.length === 0) return value.length;
  if (value.length > room.length) throw new PosixError(ERRNO.ERANGE, "getxattr");
  value.copy(room);
  return value.length;
}

function namesOf(names: readonly string[]): Buffer {
  return Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1");
}

/** @throws PosixError `EILSEQ` for what was no UTF-8: under the name that it has become there may be another file */
function bytesOfText(text: string): string {
  if (text.includes(NOT_UTF8)) throw new PosixError(constants.errno.EILSEQ, "fuse");
  return Buffer.from(text, "utf8").toString("latin1");
}

/** @throws PosixError `EILSEQ` for what is no UTF-8 */
function textOfBytes(bytes: string): string {
  const text = Buffer.from(bytes, "latin1").toString("utf8");
  if (text.includes(NOT_UTF8)) throw new PosixError(constants.errno.EILSEQ, "fuse");
  return text;
}

function newOwner(uid: number, gid: number): { readonly uid?: number; readonly gid?: number } {
  return { ...(uid !== KEEP_ID && { uid }), ...(gid !== KEEP_ID && { gid }) };
}

/**
 * fuse-native passes the time of access twice, instead of that of modification, which is found in its record of the call
 * where the other is found in its place too.
 */
function newTimes({ record, number }: NativeArguments): { readonly atime: TimeChange; readonly mtime: TimeChange } {
  const atime = BigInt.asIntN(64, (BigInt(number(2)) << 32n) | BigInt(number(1)));
  const isKnown = record.length >= MTIME_AT + 8 && record.readBigInt64LE(ATIME_AT) === atime;
  const mtime = isKnown ? record.readBigInt64LE(MTIME_AT) : atime;
  return { atime: timeOf(atime), mtime: timeOf(mtime) };
}

function timeOf(milliseconds: bigint): TimeChange {
  const rest = ((milliseconds % 1000n) + 1000n) % 1000n;
  return { seconds: Number((milliseconds - rest) / 1000n), rest: Number(rest) * 1e6 };
}

/** One array serves all: the addon takes out of it what there is before the next call. */
const words = new Uint32Array(STAT_WORDS);

function statWords({ stat, ctime, mode, uid, gid, nlink, ino }: Attributes): Uint32Array {
  words.set([mode, uid, gid]);
  setLong(3, stat.sizeBytes);
  words[5] = 0; // the device is the mount's
  words[6] = nlink;
  words[INO_WORD] = foldedIno(ino);
  words[8] = encodeDevice(stat.rdevMajor, stat.rdevMinor);
  words[9] = stat.blockBytes;
  setLong(10, stat.blocks512);
  setLong(12, milliseconds(stat.atimeSeconds, stat.atimeRest));
  setLong(14, milliseconds(stat.mtimeSeconds, stat.mtimeRest));
  setLong(16, milliseconds(ctime.seconds, ctime.rest));
  return words;
}

function setLong(at: number, value: number): void {
  words[at] = value % TWO_TO_32;
  words[at + 1] = Math.floor(value / TWO_TO_32);
}

/** No time before 1970 can be told. */
function milliseconds(seconds: number, rest: number): number {
  return Math.max(0, seconds * 1000 + Math.floor(rest / 1e6));
}

/** Numbers above 32 bits share some with others: those of a second file system do (fuse/union/layer.ts). */
function foldedIno(ino: number): number {
  const high = Math.floor(ino / TWO_TO_32);
  return high === 0 ? ino : ((ino % TWO_TO_32) ^ Math.imul(high, 0x9e37_79b1)) >>> 0;
}

/** Names and stats. A name that is no UTF-8 has no way through, and is left out. */
function listing(
  entries: Iterable<ListedEntry>,
  log: Logger,
): readonly [names: readonly string[], stats: readonly Uint32Array[]] {
  const all: { readonly text: string; readonly ino: number; readonly type: number }[] = [];
  for (const { name, ino, type } of entries) {
    const text = Buffer.from(name, "latin1").toString("utf8");
    if (text.includes(NOT_UTF8)) log.warn("fuse.name.skipped", { name: display(name) });
    else all.push({ text, ino, type });
  }
  const overlapping = new Uint32Array(all.length * ENTRY_WORDS + STAT_WORDS);
  const stats = all.map(({ ino, type }, index) => {
    const at = index * ENTRY_WORDS;
    overlapping[at + MODE_WORD] = type << 12;
    overlapping[at + INO_WORD] = foldedIno(ino);
    return overlapping.subarray(at, at + STAT_WORDS);
  });
  return [all.map(({ text }) => text), stats];
}

/** Counts of 32 bits: in blocks as large as it takes. */
function statfsWords(use: FileSystemUse): Uint32Array {
  let unit = 1n;
  while (use.blocks / unit >= BigInt(TWO_TO_32)) unit *= 2n;
  const most = (count: bigint): number => Number(count < BigInt(TWO_TO_32) ? count : BigInt(TWO_TO_32 - 1));
  const { blockBytes, fragmentBytes, blocks, blocksFree, blocksAvailable, files, filesFree, nameBytes } = use;
  const counts = [blocks, blocksFree, blocksAvailable].map((count) => count / unit);
  return Uint32Array.from([
    ...[blockBytes, fragmentBytes * unit, ...counts, files, filesFree, filesFree].map(most),
    0,
    0,
    Number(nameBytes),
  ]);
}
