/**
 * A request as it lies in the buffer that /dev/fuse was read into (`struct fuse_in_header` and what follows it). One
 * object serves all requests: it is looked through, not copied, and valid until the next is read.
 */

export const IN_HEADER_BYTES = 40;
const TWO_TO_32 = 0x1_0000_0000;
const EINVAL_SHORT = "the request is shorter than its kind needs";

/** A request that cannot be what it says it is. The adapter answers EIO. */
export class MalformedRequest extends Error {
  constructor(why: string) {
    super(`Cannot understand a request: ${why}`);
    this.name = "MalformedRequest";
  }
}

/** The caller, from the request's header. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

export class Request implements Caller {
  readonly buffer: Buffer;
  readonly #words: Uint32Array;
  #size = 0;

  /** `buffer` starts on an address that is a multiple of eight. */
  constructor(buffer: Buffer) {
    this.buffer = buffer;
    this.#words = new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length >> 2);
  }

  /** Takes note of a request of `size` bytes that was read. @throws MalformedRequest if it has no whole header */
  arrived(size: number): void {
    this.#size = size;
    if (size < IN_HEADER_BYTES || this.#word(0) !== size) throw new MalformedRequest(EINVAL_SHORT);
  }

  #word(index: number): number {
    return this.#words[index] as number;
  }

  get opcode(): number {
    return this.#word(1);
  }

  /** The two halves of the number that the reply must carry. */
  get uniqueLow(): number {
    return this.#word(2);
  }

  get uniqueHigh(): number {
    return this.#word(3);
  }

  get nodeId(): number {
    return this.#word(4) + this.#word(5) * TWO_TO_32;
  }

  get uid(): number {
    return this.#word(6);
  }

  get gid(): number {
    return this.#word(7);
  }

  get pid(): number {
    return this.#word(8);
  }

  /** Bytes after the header, without extensions. */
  get bodyBytes(): number {
    const extensions = ((this.#word(9) & 0xffff) * 8) | 0; // total_extlen, in units of 8 bytes
    return this.#size - IN_HEADER_BYTES - extensions;
  }

  /** The 32-bit number at byte `at` of the body, a multiple of four. @throws MalformedRequest beyond its end */
  u32(at: number): number {
    if (at + 4 > this.bodyBytes) throw new MalformedRequest(EINVAL_SHORT);
    return this.#word((IN_HEADER_BYTES + at) >> 2);
  }

  /** The signed 32-bit number at byte `at`. @throws MalformedRequest */
  i32(at: number): number {
    return this.u32(at) | 0;
  }

  /** The 64-bit number at byte `at` of the body, exact up to 2^53. @throws MalformedRequest */
  u64(at: number): number {
    return this.u32(at) + this.u32(at + 4) * TWO_TO_32;
  }

  /** The signed 64-bit number at byte `at`. @throws MalformedRequest */
  i64(at: number): number {
    return this.u32(at) + this.i32(at + 4) * TWO_TO_32;
  }

  /** The NUL-terminated byte string at byte `at` of the body. @throws MalformedRequest without a NUL */
  name(at: number): string {
    const start = IN_HEADER_BYTES + at;
    const limit = IN_HEADER_BYTES + this.bodyBytes;
    let end = start; // a name is short: Buffer's indexOf() takes longer
    while (end < limit && this.buffer[end] !== 0) end++;
    if (end >= limit) throw new MalformedRequest("a name does not end");
    return this.buffer.toString("latin1", start, end);
  }

  /** The same, where it names an entry of a directory. @throws MalformedRequest also for what leads somewhere else */
  entry(at: number): string {
    const name = this.name(at);
    if (name === "" || name === "." || name === ".." || name.includes("/")) {
      throw new MalformedRequest("a name of an entry is a path");
    }
    return name;
  }

  /** `count` bytes at byte `at` of the body; not a copy. @throws MalformedRequest */
  bytes(at: number, count: number): Buffer {
    if (at + count > this.bodyBytes) throw new MalformedRequest(EINVAL_SHORT);
    return this.buffer.subarray(IN_HEADER_BYTES + at, IN_HEADER_BYTES + at + count);
  }
}
