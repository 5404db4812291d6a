/** rtnetlink(7): requests about links, addresses and routes of the network namespace that the calling thread is in. */

import { readSync, writeSync } from "node:fs";
import { PosixError } from "../errors.ts";
import { close } from "./file.ts";
import { check, declare } from "./libc.ts";

const socket = declare("int socket(int domain, int type, int protocol)");

const [AF_NETLINK, SOCK_RAW, SOCK_CLOEXEC, NETLINK_ROUTE] = [16, 3, 0o2000000, 0];
const [NLMSG_ERROR, NLMSG_DONE] = [2, 3];
const [NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP] = [1, 4, 0x300];
/** `struct nlmsghdr`. */
const HEADER_BYTES = 16;
/** More than the kernel puts into one answer. */
const ANSWER_BYTES = 64 * 2 ** 10;

/** An attribute: its number, and bytes, a name (which ends with a 0), a number of 32 bits, or attributes in it. */
export type Attribute = readonly [type: number, value: Uint8Array | string | number | readonly Attribute[]];

/** A socket of the network namespace in which it was made. */
export class RouteSocket implements Disposable {
  readonly #fd = check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket");

  /**
   * Sends one request and waits until it is done: the bodies of what the kernel answers. `name` is for the error.
   * @throws PosixError
   */
  request(
    type: number,
    flags: number,
    head: Uint8Array,
    attributes: readonly Attribute[],
    name: string,
  ): readonly Buffer[] {
    const body = Buffer.concat([head, packAttributes(attributes)]);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(HEADER_BYTES + body.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(flags | NLM_F_REQUEST | NLM_F_ACK, 6);
    writeSync(this.#fd, Buffer.concat([header, body]));
    return this.#answers(name);
  }

  /** Everything that there is of one type. @throws PosixError */
  list(type: number, head: Uint8Array): readonly Buffer[] {
    return this.request(type, NLM_F_DUMP, head, [], "");
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }

  /** All messages up to the one that says it is done, or that it failed. */
  #answers(name: string): readonly Buffer[] {
    const bodies: Buffer[] = [];
    for (;;) {
      const answer = Buffer.alloc(ANSWER_BYTES);
      const sizeBytes = readSync(this.#fd, answer);
      for (let at = 0; at + HEADER_BYTES <= sizeBytes; ) {
        const length = answer.readUInt32LE(at);
        const type = answer.readUInt16LE(at + 4);
        const body = answer.subarray(at + HEADER_BYTES, at + length);
        if (type === NLMSG_DONE) return bodies;
        if (type === NLMSG_ERROR) {
          const errno = -body.readInt32LE(0);
          if (errno === 0) return bodies;
          throw new PosixError(errno, "netlink", name);
        }
        bodies.push(body);
        at += align(length);
      }
    }
  }
}

/** The attributes of a message, behind a head of so many bytes. */
export function attributesOf(body: Buffer, headBytes: number): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = align(headBytes); at + 4 <= body.length; ) {
    const length = body.readUInt16LE(at);
    if (length < 4) break;
    found.set(body.readUInt16LE(at + 2) & 0x3fff, body.subarray(at + 4, at + length));
    at += align(length);
  }
  return found;
}

/** As they are in a message. */
export function packAttributes(attributes: readonly Attribute[]): Buffer {
  return Buffer.concat(attributes.map(packAttribute));
}

function packAttribute([type, value]: Attribute): Buffer {
  const bytes = valueBytes(value);
  const packed = Buffer.alloc(align(4 + bytes.length));
  packed.writeUInt16LE(4 + bytes.length, 0);
  packed.writeUInt16LE(type, 2);
  packed.set(bytes, 4);
  return packed;
}

function valueBytes(value: Attribute[1]): Uint8Array {
  if (typeof value === "string") return Buffer.from(`${value}\0`, "latin1");
  if (value instanceof Uint8Array) return value;
  if (typeof value !== "number") return packAttributes(value);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
