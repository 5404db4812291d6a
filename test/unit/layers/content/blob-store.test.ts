import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import test from "node:test";
import { createTemporary } from "../../../../layers/content/temporary.ts";
import { Store } from "../../../../layers/store.ts";
import { digestOf } from "../../../../src/digest.ts";
import { IntegrityError, NotFoundError } from "../../../../src/errors.ts";
import { bytesOf, joinHost } from "../../../../src/paths.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";

const HELLO = Buffer.from("hello");
const DIGEST = digestOf(HELLO);

function openStore(directory: TemporaryDirectory): Store {
  return Store.open(directory.host("store"));
}

test("a new store is private, and one that is missing is not made by a command that only reads", async () => {
  await using directory = temporaryDirectory();
  assert.throws(() => Store.open(directory.host("store"), { create: false }), NotFoundError);
  assert.deepEqual(readdirSync(directory.path), []);
  using store = openStore(directory);
  assert.equal(statSync(bytesOf(store.layout.root)).mode & 0o777, 0o700);
});

test("bytes that were put are read back verified, from a file with their digest's name", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  assert.equal(await store.blobs.put(HELLO), DIGEST);
  assert.deepEqual(store.blobs.readJson(DIGEST, 5), HELLO);
  assert.deepEqual(readFileSync(bytesOf(store.blobs.path(DIGEST))), HELLO);
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
});

test("putting the same bytes many times at once stores them once", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const digests = await Promise.all(Array.from({ length: 10 }, () => store.blobs.put(HELLO)));
  assert.deepEqual(new Set(digests), new Set([DIGEST]));
  assert.equal(readdirSync(bytesOf(store.layout.blobs)).length, 1);
});

test("a blob whose file was lost is stored again by the next put", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  await store.blobs.put(HELLO);
  unlinkSync(bytesOf(store.blobs.path(DIGEST)));
  assert.throws(() => store.blobs.readJson(DIGEST, 100), IntegrityError);
  await store.blobs.put(HELLO);
  assert.deepEqual(store.blobs.readJson(DIGEST, 100), HELLO);
});

test("a blob that was changed on disk, or is larger than the limit, is not handed out", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  await store.blobs.put(HELLO);
  assert.throws(() => store.blobs.readJson(DIGEST, 4), { code: "ERR_BLOB_TOO_LARGE" });
  writeFileSync(bytesOf(store.blobs.path(DIGEST)), "jello");
  assert.throws(() => store.blobs.readJson(DIGEST, 5), { code: "ERR_BLOB_CORRUPT" });
  assert.throws(() => store.blobs.readJson(digestOf("other"), 5), { code: "ERR_BLOB_NOT_FOUND" });
});

test("a stream with another digest than expected leaves no blob and no temporary", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const writing = async () => {
    await using writer = await store.blobs.create();
    await writer.write(HELLO);
    await writer.commit(digestOf("other"));
  };
  await assert.rejects(writing, { code: "ERR_DIGEST_MISMATCH" });
  assert.equal(store.blobs.has(DIGEST), false);
  assert.deepEqual(readdirSync(bytesOf(store.layout.blobs)), []);
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
});

test("a blob that was written in pieces is stored together with small ones, and nothing else stays", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const others = ["a", "b"].map((text) => Buffer.from(text));
  {
    await using writer = await store.blobs.create();
    for (const piece of ["hel", "lo"]) await writer.write(Buffer.from(piece));
    assert.deepEqual(writer.end(), { digest: DIGEST, sizeBytes: HELLO.length });
    assert.equal(store.blobs.has(DIGEST), false);
    await store.blobs.putAll(others, [writer]);
  }
  for (const bytes of [HELLO, ...others]) assert.deepEqual(store.blobs.readJson(digestOf(bytes), 5), bytes);
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
});

test("if one of several blobs cannot be stored none is, and nothing stays", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const writing = async () => {
    await using writer = await store.blobs.create();
    await writer.write(HELLO);
    await writer[Symbol.asyncDispose](); // its file is gone
    await store.blobs.putAll([Buffer.from("a")], [writer]);
  };
  await assert.rejects(writing, { code: "EBADF" });
  assert.deepEqual(readdirSync(bytesOf(store.layout.blobs)), []);
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
});

test("a finished file is adopted by renaming it, and stays where it is if the blob is there", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  await using temporary = createTemporary(store.layout, "import");
  const file = joinHost(temporary.path, "data");
  for (const left of [[], ["data"]]) {
    writeFileSync(bytesOf(file), HELLO);
    await store.blobs.adopt(file, DIGEST, HELLO.length, { synced: false });
    assert.deepEqual(readdirSync(bytesOf(temporary.path)), left);
    assert.deepEqual(store.blobs.readJson(DIGEST, 5), HELLO);
  }
});
