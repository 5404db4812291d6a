import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { spool } from "../../../../layers/formats/spool.ts";
import { bytesOf, hostPath } from "../../../../src/paths.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

test("what has been spooled is not kept in memory, however long the stream", async () => {
  await using directory = temporaryDirectory();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const chunks: WeakRef<Buffer>[] = [];
  let alive = 0;
  async function* source(): AsyncIterable<Buffer> {
    for (let count = 0; count < 40; count += 1) {
      const chunk = Buffer.alloc(64 * 1024, count);
      chunks.push(new WeakRef(chunk));
      yield chunk;
    }
    await new Promise((resolve) => setImmediate(resolve)); // a WeakRef is strong until its turn of the loop ends
    collect();
    alive = chunks.filter((chunk) => chunk.deref() !== undefined).length;
  }
  const { signal } = new AbortController();
  const progress: number[] = [];
  const onProgress = (doneBytes: number) => progress.push(doneBytes);
  const temporary = hostPath(directory.path);
  await using spooled = await spool(source(), { temporary, decompress: false, signal, onProgress });
  assert.deepEqual([progress.length, progress.at(-1)], [40, 40 * 64 * 1024]);
  assert.equal(statSync(bytesOf(spooled.file)).size, 40 * 64 * 1024);
  assert.ok(alive <= 5, `${alive} of 40 chunks are still in memory`);
});

test("a stream that stays silent is left when it is cancelled", async () => {
  await using directory = temporaryDirectory();
  const controller = new AbortController();
  async function* source(): AsyncIterable<Buffer> {
    yield Buffer.alloc(1024);
    setImmediate(() => controller.abort(new Error("enough")));
    await new Promise(() => {});
  }
  const { signal } = controller;
  const spooling = spool(source(), { temporary: hostPath(directory.path), decompress: false, signal });
  await assert.rejects(spooling, /enough/);
});
