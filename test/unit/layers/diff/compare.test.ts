import assert from "node:assert/strict";
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { test } from "node:test";
import type { LayerNode } from "../../../../layers/diff/change.ts";
import { compareNodes } from "../../../../layers/diff/compare.ts";
import type { HostPath, LayerPath } from "../../../../src/paths.ts";
import { AT_FDCWD, setTimes } from "../../../../src/sys/file.ts";
import { statAt } from "../../../../src/sys/stat.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

/** A file of `sizeBytes` with text at some offsets and holes between. */
function sparse(path: HostPath, sizeBytes: number, data: Readonly<Record<number, string>>): LayerNode {
  const fd = openSync(path, "w");
  ftruncateSync(fd, sizeBytes);
  for (const [offset, text] of Object.entries(data)) writeSync(fd, text, Number(offset));
  closeSync(fd);
  return nodeAt(path);
}

function nodeAt(path: HostPath): LayerNode {
  setTimes(AT_FDCWD, path, 0n, 0n);
  return { path: "f" as LayerPath, stat: statAt(AT_FDCWD, path), hostPath: path, dataPath: path, xattrs: new Map() };
}

const SIZE = 3 * 1024 * 1024 + 5;

test("files are equal whatever is a hole in one and zeros in the other", async () => {
  await using directory = temporaryDirectory();
  const one = sparse(directory.host("one"), SIZE, { 5000: "x" });
  const two = sparse(directory.host("two"), SIZE, { 5000: "x", [2 << 20]: "\0".repeat(10_000) });
  assert.deepEqual(compareNodes(one, two), []);
});

for (const [place, data] of [
  ["where the first has a hole", { 5000: "x", [1 << 20]: "y" }],
  ["in the last bytes", { 5000: "x", [SIZE - 1]: "y" }],
  ["where the second has a hole", {}],
  ["where both have data", { 5000: "z" }],
] as const) {
  test(`a difference ${place} is found`, async () => {
    await using directory = temporaryDirectory();
    const one = sparse(directory.host("one"), SIZE, { 5000: "x" });
    assert.deepEqual(compareNodes(one, sparse(directory.host("two"), SIZE, data)), ["content"]);
  });
}

test("holes are not read", async () => {
  await using directory = temporaryDirectory();
  const size = 1024 ** 4; // reading it would take minutes
  const one = sparse(directory.host("one"), size, { 5000: "x" });
  const two = sparse(directory.host("two"), size, { 5000: "x" });
  const start = performance.now();
  assert.deepEqual(compareNodes(one, two), []);
  assert.ok(performance.now() - start < 10_000);
});
