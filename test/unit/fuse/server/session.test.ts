import assert from "node:assert/strict";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { OP, ROOT_ID } from "../../../../fuse/protocol/constants.ts";
import { IN_HEADER_BYTES } from "../../../../fuse/protocol/request.ts";
import { Counters } from "../../../../fuse/server/counters.ts";
import { Server } from "../../../../fuse/server/session.ts";
import { silentLogger } from "../../../../src/log.ts";
import { setXattr } from "../../../../src/sys/xattr.ts";
import { requires } from "../../../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";
import { openUnion, writeScene } from "../../../helpers/union-scene.ts";

const UNIQUE = 77;

/** A request as the kernel puts it together. */
function requestOf(opcode: number, body: Uint8Array, nodeId = ROOT_ID): Buffer {
  const header = Buffer.alloc(IN_HEADER_BYTES);
  header.writeUInt32LE(IN_HEADER_BYTES + body.length, 0);
  header.writeUInt32LE(opcode, 4);
  header.writeUInt32LE(UNIQUE, 8);
  header.writeUInt32LE(nodeId, 16);
  return Buffer.concat([header, body]);
}

/** Serves one request from a file in the device's place, and returns what was written behind it. Then the file ends. */
function answerTo(
  directory: TemporaryDirectory,
  request: Uint8Array,
  flags = "r+",
  layers: readonly string[] = ["layer0"],
  counters = new Counters(),
): Buffer {
  const path = directory.host("device");
  writeFileSync(path, request);
  using union = openUnion(`lowerdir=${layers.map((name) => directory.host(name)).join(":")}`);
  const fd = openSync(path, flags);
  try {
    new Server(union, fd, counters, silentLogger).serve();
  } finally {
    closeSync(fd);
  }
  return readFileSync(path).subarray(request.length);
}

test("a request of any kind whose body is too short, or nonsense, gets one reply, and the server goes on", async () => {
  await using directory = temporaryDirectory();
  writeScene(directory, ["a=1"]);
  for (const opcode of Object.values(OP)) {
    for (const fill of [0, 0xff]) {
      for (const size of [0, 24, 64]) {
        const reply = answerTo(directory, requestOf(opcode, Buffer.alloc(size, fill)));
        const isUnanswered = opcode === OP.forget || opcode === OP.batchForget || opcode === OP.interrupt;
        assert.equal(reply.length > 0, !isUnanswered, `opcode ${opcode}`);
        if (isUnanswered) continue;
        assert.equal(reply.readUInt32LE(0), reply.length);
        assert.equal(reply.readUInt32LE(8), UNIQUE);
      }
    }
  }
});

test("what is not even a header is not answered, and the server goes on", async () => {
  await using directory = temporaryDirectory();
  writeScene(directory, ["a=1"]);
  assert.equal(answerTo(directory, Buffer.alloc(12, 0xff)).length, 0);
});

test("a reply that the kernel refuses does not end the server", async () => {
  await using directory = temporaryDirectory();
  writeScene(directory, ["a=1"]);
  assert.equal(answerTo(directory, requestOf(OP.getattr, Buffer.alloc(16)), "r").length, 0);
});

test("names that a refused reply would have told are not kept as if the kernel knew them", async () => {
  await using directory = temporaryDirectory();
  writeScene(directory, ["a=1 b=1"]);
  const body = Buffer.alloc(40);
  body.writeUInt32LE(4096, 16);
  const knownAfter = (flags: string): number => {
    const counters = new Counters();
    answerTo(directory, requestOf(OP.readdirplus, body), flags, ["layer0"], counters);
    return counters.snapshot().knownInodes;
  };
  assert.deepEqual([knownAfter("r+"), knownAfter("r")], [3, 1]);
});

test("a listing that asks for more than a reply holds gets what fits", async () => {
  await using directory = temporaryDirectory();
  writeScene(directory, [Array.from({ length: 5000 }, (_, index) => `${String(index).padStart(250, "n")}=`).join(" ")]);
  for (const opcode of [OP.readdir, OP.readdirplus]) {
    const reply = answerTo(directory, requestOf(opcode, Buffer.alloc(40).fill(0xff, 16, 20)));
    assert.equal(reply.readInt32LE(4), 0);
    assert.ok(reply.length > 1 << 20);
  }
});

test("an entry that cannot be looked up is listed, and does not keep the others from being listed", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  writeScene(directory, ["x/", "a=1 broken/ z=1"]);
  setXattr(directory.host("layer1", "broken"), "trusted.overlay.redirect", Buffer.from("../x"));
  for (const opcode of [OP.readdir, OP.readdirplus]) {
    const body = Buffer.alloc(40);
    body.writeUInt32LE(4096, 16);
    const reply = answerTo(directory, requestOf(opcode, body), "r+", ["layer1", "layer0"]);
    assert.deepEqual(
      reply
        .toString("latin1")
        .match(/\b(a|z|broken)(?=\0)/g)
        ?.sort(),
      ["a", "broken", "z"],
    );
  }
});
