/**
 * A reply while it is put together (`struct fuse_out_header` and what follows it). One buffer serves all replies: what
 * is built is sent before the next begins.
 */

import type { Stat } from "../../src/sys/stat.ts";
import type { Request } from "./request.ts";

export const OUT_HEADER_BYTES = 16;
const ATTR_BYTES = 88;
const TWO_TO_32 = 0x1_0000_0000;

/** What the kernel is told about a file beside what statx(2) says. */
export interface Attributes {
  /** Without its `ctime`. */
  readonly stat: Stat;
  readonly ctime: Time;
  readonly ino: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** How long the kernel may believe, in whole seconds and nanoseconds. */
export interface Timeout {
  readonly seconds: number;
  readonly rest: number;
}

export class Reply {
  readonly buffer: Buffer;
  readonly #words: Uint32Array;
  /** Bytes so far, the header's included. */
  size = OUT_HEADER_BYTES;

  constructor(buffer: Buffer) {
    this.buffer = buffer;
    this.#words = new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length >> 2);
  }

  /** Where the next bytes of the body go, and how many fit. */
  get body(): Buffer {
    return this.buffer.subarray(OUT_HEADER_BYTES);
  }

  /** Begins a reply: success, with an empty body. */
  start(request: Request): void {
    this.size = OUT_HEADER_BYTES;
    this.#words[1] = 0;
    this.#words[2] = request.uniqueLow;
    this.#words[3] = request.uniqueHigh;
  }

  /** Makes it a failure with `errno` (positive), without a body. */
  fail(errno: number): void {
    this.size = OUT_HEADER_BYTES;
    this.#words[1] = -errno;
  }

  /** Fills in the length. */
  finish(): void {
    this.#words[0] = this.size;
  }

  /** Appends a 32-bit number; signed ones too. */
  u32(value: number): void {
    this.#words[this.size >> 2] = value;
    this.size += 4;
  }

  /** Appends a 64-bit number, exact up to 2^53; negative ones too. */
  u64(value: number): void {
    this.#words[this.size >> 2] = value % TWO_TO_32;
    this.#words[(this.size >> 2) + 1] = Math.floor(value / TWO_TO_32);
    this.size += 8;
  }

  u64Big(value: bigint): void {
    this.u32(Number(value & 0xffffffffn));
    this.u32(Number(value >> 32n));
  }

  /** Appends bytes. */
  bytes(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.size);
    this.size += bytes.length;
  }

  /** Appends a byte string. */
  text(bytes: string): void {
    this.size += this.buffer.write(bytes, this.size, "latin1");
  }

  /** `struct fuse_attr`. */
  attributes({ stat, ctime, ino, nlink, uid, gid, mode }: Attributes): void {
    this.u64(ino);
    this.u64(stat.sizeBytes);
    this.u64(stat.blocks512);
    this.u64(stat.atimeSeconds);
    this.u64(stat.mtimeSeconds);
    this.u64(ctime.seconds);
    this.u32(stat.atimeRest);
    this.u32(stat.mtimeRest);
    this.u32(ctime.rest);
    this.u32(mode);
    this.u32(nlink);
    this.u32(uid);
    this.u32(gid);
    this.u32(encodeDevice(stat.rdevMajor, stat.rdevMinor));
    this.u32(stat.blockBytes);
    this.u32(0);
  }

  /** `struct fuse_attr_out`. */
  attrOut(attributes: Attributes, valid: Timeout): void {
    this.u64(valid.seconds);
    this.u32(valid.rest);
    this.u32(0);
    this.attributes(attributes);
  }

  /** `struct fuse_statx_out`: `birth` is null where it is not known. */
  statxOut({ stat, ctime, ino, nlink, uid, gid, mode }: Attributes, birth: Time | null, valid: Timeout): void {
    this.u64(valid.seconds);
    this.u32(valid.rest);
    for (let spare = 0; spare < 5; spare++) this.u32(0);
    this.u32(birth === null ? STATX_BASIC : STATX_BASIC | STATX_BTIME);
    this.u32(stat.blockBytes);
    this.u64(0); // attributes
    for (const word of [nlink, uid, gid, mode]) this.u32(word);
    for (const word of [ino, stat.sizeBytes, stat.blocks512, 0]) this.u64(word);
    this.#time(stat.atimeSeconds, stat.atimeRest);
    this.#time(birth?.seconds ?? 0, birth?.rest ?? 0);
    this.#time(ctime.seconds, ctime.rest);
    this.#time(stat.mtimeSeconds, stat.mtimeRest);
    for (const word of [stat.rdevMajor, stat.rdevMinor, 0, 0]) this.u32(word);
    for (let spare = 0; spare < 14; spare++) this.u64(0);
  }

  /** `struct fuse_sx_time`. */
  #time(seconds: number, rest: number): void {
    this.u64(seconds);
    this.u32(rest);
    this.u32(0);
  }

  /** `struct fuse_entry_out`. */
  entryOut(nodeId: number, attributes: Attributes, valid: Timeout): void {
    this.#entryHead(nodeId, valid);
    this.attributes(attributes);
  }

  /** `struct fuse_entry_out` that says for `valid` that there is no such name. */
  noEntry(valid: Timeout): void {
    this.#entryHead(0, valid);
    for (let words = ATTR_BYTES / 4; words > 0; words--) this.u32(0);
  }

  #entryHead(nodeId: number, valid: Timeout): void {
    this.u64(nodeId);
    this.u64(0); // generation: node ids are never used again
    this.u64(valid.seconds);
    this.u64(valid.seconds);
    this.u32(valid.rest);
    this.u32(valid.rest);
  }

  /** `struct fuse_open_out`. */
  openOut(flags: number, backingId = 0): void {
    this.u64(0); // no file handle: an open file is known by its node
    this.u32(flags);
    this.u32(backingId);
  }
}

const [STATX_BASIC, STATX_BTIME] = [0x7ff, 0x800];

/** Nanoseconds after whole seconds since the epoch. */
export interface Time {
  readonly seconds: number;
  readonly rest: number;
}

/** The kernel's new_encode_dev(). */
export function encodeDevice(major: number, minor: number): number {
  return (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12);
}

/** The kernel's new_decode_dev(). */
export function decodeDevice(device: number): readonly [major: number, minor: number] {
  return [(device & 0xfff00) >> 8, (device & 0xff) | ((device >>> 12) & 0xfff00)];
}
