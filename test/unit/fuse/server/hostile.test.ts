/**
 * Requests that the kernel never sends, from seeds: whole ones of every kind, then changed. Whatever comes, the server
 * gives one well-formed reply, touches nothing but its upperdir and workdir, and what it then shows is what is on disk.
 */

import assert from "node:assert/strict";
import { closeSync, fstatSync, openSync, readdirSync, readSync, writeSync } from "node:fs";
import { test } from "node:test";
import { OP, OP_COUNT, ROOT_ID } from "../../../../fuse/protocol/constants.ts";
import { IN_HEADER_BYTES } from "../../../../fuse/protocol/request.ts";
import { Counters } from "../../../../fuse/server/counters.ts";
import { Server } from "../../../../fuse/server/session.ts";
import { isVisible } from "../../../../fuse/union/directory-index.ts";
import { lookup } from "../../../../fuse/union/lookup.ts";
import type { Node } from "../../../../fuse/union/node.ts";
import type { Union } from "../../../../fuse/union/union.ts";
import { silentLogger } from "../../../../src/log.ts";
import { seek } from "../../../../src/sys/data.ts";
import { numbers } from "../../../helpers/numbers.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { listTree } from "../../../helpers/tree.ts";
import { openUnion, writeScene } from "../../../helpers/union-scene.ts";

const REQUESTS = 3000;
const SEEDS = 6;
/** Without those that only take long. */
const KINDS = Object.values(OP).filter((opcode) => opcode !== OP.fsync && opcode !== OP.fsyncdir);
const UNANSWERED: readonly number[] = [OP.forget, OP.batchForget, OP.interrupt];
/** The kernel takes no other errors from a server (fuse_dev_do_write). */
const MOST_ERRNO = 511;

type Below = (limit: number) => number;

const NAMES = ["a", "b", "d", "e", "hidden", "new", ".", "..", "", "../x", "d/a", "n".repeat(256), "\xff\x01"];
const MODES = [0o100644, 0o104755, 0o040755, 0o020600, 0o060600, 0o010644, 0o140644, 0o120777, 0o170000, 0xffff_ffff];
const NUMBERS = [0, 1, 2, 3, 7, 40, 128, 4096, 0o1002, 0o100, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const XATTRS = ["user.x", "trusted.overlay.opaque", "system.posix_acl_access", "security.capability", "x", "trusted.y"];

const pick = <T>(below: Below, from: readonly T[], otherwise: T): T => from[below(from.length)] ?? otherwise;

const words = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, 4 * at);
  return bytes;
};
const texts = (...names: readonly string[]): Buffer => Buffer.from(names.map((name) => `${name}\0`).join(""), "latin1");

/** The body of a request of a kind, with fields that make sense more often than not. */
function bodyOf(opcode: number, below: Below, nodeId: () => number): Buffer {
  const name = pick(below, NAMES, "a");
  const mode = pick(below, MODES, 0o644);
  const any = (): number => (below(3) === 0 ? pick(below, NUMBERS, 0) : below(5000));
  const long = (): readonly number[] => [any(), below(8) === 0 ? any() : 0];
  switch (opcode) {
    case OP.lookup:
    case OP.unlink:
    case OP.rmdir:
    case OP.removexattr:
      return texts(below(2) === 0 ? name : pick(below, XATTRS, "x"));
    case OP.symlink:
      return texts(name, pick(below, NAMES, "a"));
    case OP.mknod:
      return Buffer.concat([words(mode, any(), any(), 0), texts(name)]);
    case OP.mkdir:
      return Buffer.concat([words(mode, any()), texts(name)]);
    case OP.create:
    case OP.tmpfile:
      return Buffer.concat([words(any(), mode, any(), 0), texts(name)]);
    case OP.rename:
      return Buffer.concat([words(nodeId(), 0), texts(name, pick(below, NAMES, "a"))]);
    case OP.rename2:
      return Buffer.concat([words(nodeId(), 0, below(9), 0), texts(name, pick(below, NAMES, "a"))]);
    case OP.link:
      return Buffer.concat([words(nodeId(), 0), texts(name)]);
    case OP.setattr:
      return words(
        below(0x1000),
        0,
        0,
        0,
        ...long(),
        0,
        0,
        any(),
        0,
        any(),
        0,
        any(),
        0,
        any(),
        any(),
        0,
        mode,
        0,
        0,
        0,
      );
    case OP.setxattr: {
      const size = below(64);
      return Buffer.concat([
        words(size, below(4), below(2), 0),
        texts(pick(below, XATTRS, "x")),
        Buffer.alloc(size, 1),
      ]);
    }
    case OP.getxattr:
    case OP.listxattr:
      return Buffer.concat([words(any(), 0), texts(pick(below, XATTRS, "x"))]);
    case OP.write: {
      const size = below(300);
      return Buffer.concat([words(0, 0, ...long(), size, below(8), 0, 0, 0, 0), Buffer.alloc(size, "w")]);
    }
    case OP.fallocate:
      return words(0, 0, any(), 0, any(), 0, below(128), 0);
    case OP.copyFileRange:
      return words(0, 0, ...long(), nodeId(), 0, 0, 0, any(), 0, any(), 0, 0, 0);
    case OP.forget:
      return words(below(3), 0);
    case OP.batchForget:
      return words(2, 0, nodeId(), 0, below(3), 0, nodeId(), 0, below(3), 0);
    default:
      return words(...Array.from({ length: 16 }, any));
  }
}

function requestOf(opcode: number, nodeId: number, unique: number, body: Buffer): Buffer {
  return Buffer.concat([
    words(IN_HEADER_BYTES + body.length, opcode, unique, 0, nodeId, 0, callerOf(unique), callerOf(unique), 1, 0),
    body,
  ]);
}

/** Root, and two users. */
function callerOf(unique: number): number {
  return [0, 1000, 65534][unique % 3] ?? 0;
}

/** Bytes changed, cut off, added; a length that is wrong. */
function spoil(request: Buffer, below: Below): Buffer {
  const spoiled = Buffer.from(request);
  switch (below(5)) {
    case 0:
      return spoiled.subarray(0, below(spoiled.length));
    case 1:
      spoiled.writeUInt32LE(below(2 * spoiled.length), 0);
      return spoiled;
    case 2:
      return relength(Buffer.concat([spoiled, Buffer.alloc(below(200), below(256))]));
    case 3:
      return relength(spoiled.subarray(0, IN_HEADER_BYTES + below(Math.max(1, spoiled.length - IN_HEADER_BYTES))));
    default:
      for (let count = 1 + below(4); count > 0; count--) spoiled[16 + below(spoiled.length - 16)] = below(256);
      return spoiled;
  }
}

function relength(request: Buffer): Buffer {
  request.writeUInt32LE(request.length, 0);
  return request;
}

/** Has the server answer one request from a file in the device's place, behind those before. */
function answer(server: Server, device: number, request: Buffer): Buffer {
  const start = fstatSync(device).size;
  writeSync(device, request, 0, request.length, start);
  seek(device, start, 0);
  server.serve();
  const reply = Buffer.alloc(fstatSync(device).size - start - request.length);
  readSync(device, reply, 0, reply.length, start + request.length);
  return withoutNotices(reply);
}

/** What the server tells the kernel without being asked is for no request, and comes first. */
function withoutNotices(messages: Buffer): Buffer {
  let at = 0;
  while (at < messages.length && messages.readUInt32LE(at + 8) === 0) at += messages.readUInt32LE(at);
  return messages.subarray(at);
}

function checkReply(reply: Buffer, request: Buffer, what: string): void {
  const isAnswered = request.length >= IN_HEADER_BYTES && !UNANSWERED.includes(request.readUInt32LE(4));
  assert.equal(reply.length > 0, isAnswered, what);
  if (!isAnswered) return;
  assert.equal(reply.readUInt32LE(0), reply.length, `${what}: one reply`);
  assert.equal(reply.readUInt32LE(8), request.readUInt32LE(8), what);
  const error = reply.readInt32LE(4);
  assert.ok(error <= 0 && error >= -MOST_ERRNO, `${what}: ${error}`);
  if (error !== 0) assert.equal(reply.length, 16, what);
}

/** All that is seen: paths, types, sizes. A directory that cannot be listed says so. */
function listing(union: Union, directory: Node = union.root, path = ""): string[] {
  const words: string[] = [];
  for (const { name } of [...union.indexOf(directory).listing()].filter(isVisible)) {
    const found = lookup(union, directory, name);
    if (found === null) continue;
    words.push(`${path}${name} ${found.stat.mode.toString(8)} ${found.node.isDirectory ? "" : found.stat.sizeBytes}`);
    if (found.node.isDirectory) words.push(...listing(union, found.node, `${path}${name}/`));
  }
  return words.sort();
}

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`requests of seed ${seed} that no kernel sends are answered one by one, and harm nothing`, async () => {
    await using directory = temporaryDirectory();
    const options = writeScene(directory, ["a=1 b=2 d/ d/a=3 hidden/x=1", "d/b=4 e/ e/c=5 -hidden"]);
    const outside = () => ["layer0", "layer1"].map((name) => listTree(directory.host(name)));
    const before = outside();
    const below = numbers(seed);
    let shown: readonly string[];
    {
      using union = openUnion(`${options},redirect_dir=on`);
      const device = openSync(directory.host("device"), "w+");
      try {
        const server = new Server(union, device, new Counters(), silentLogger);
        for (let unique = 1; unique <= REQUESTS; unique++) {
          const opcode = below(30) === 0 ? below(OP_COUNT) : pick(below, KINDS, OP.lookup);
          if (opcode === OP.init) continue;
          const nodeId = (): number => (below(4) === 0 ? ROOT_ID : below(12));
          const request = requestOf(opcode, nodeId(), unique, bodyOf(opcode, below, nodeId));
          const sent = below(4) === 0 ? spoil(request, below) : request;
          checkReply(answer(server, device, sent), sent, `opcode ${opcode}, request ${unique}`);
        }
      } finally {
        closeSync(device);
      }
      shown = listing(union);
    }
    assert.deepEqual(outside(), before);
    assert.deepEqual(readdirSync(directory.path).sort(), ["device", "layer0", "layer1", "upper", "work"]);
    using again = openUnion(`${options},redirect_dir=on`);
    assert.deepEqual(listing(again), shown);
  });
}
