import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { linkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { exportTree } from "../../../../layers/commit/export.ts";
import { newChunk } from "../../../../layers/diff/tar-stream-writer.ts";
import { MergedTree } from "../../../../src/overlay/merged-tree.ts";
import { joinHost } from "../../../../src/paths.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { writableNamespace as namespace, writeLayers } from "../../../helpers/tree.ts";

async function exported(tree: MergedTree): Promise<{ bytes: Buffer; skipped: readonly string[] }> {
  const chunks: Buffer[] = [];
  const sink = { take: () => newChunk(65_536), write: async (chunk: Buffer) => void chunks.push(chunk) };
  const { sizeBytes, skipped } = await exportTree(tree, sink);
  const bytes = Buffer.concat(chunks);
  assert.equal(bytes.length, sizeBytes);
  return { bytes, skipped: skipped.map(({ path, reason }) => `${path} ${reason}`) };
}

test("an export is the merged tree: no whiteouts, each directory before what is in it, links kept", async () => {
  await using directory = temporaryDirectory();
  const lowerdirs = writeLayers(directory.host("layers"), ["a/x=1 a/y=2 b/z=3 o/p=1", "-a/x b-c=4 o/! o/q=2"]);
  linkSync(joinHost(lowerdirs[0] ?? directory.host(), "b-c"), joinHost(lowerdirs[0] ?? directory.host(), "c"));
  const { bytes, skipped } = await exported(new MergedTree(lowerdirs, { namespace }));
  const listed = execFileSync("tar", ["-tv"], { input: bytes }).toString().trim().split("\n");
  const names = listed.map((line) => line.replace(/^.*:\d\d /, ""));
  assert.deepEqual(names, ["./", "a/", "a/y", "b/", "b/z", "b-c", "c link to b-c", "o/", "o/q"]);
  assert.deepEqual(skipped, []);
});

test("the same tree gives the same bytes, and a socket is reported", async () => {
  await using directory = temporaryDirectory();
  const [lower = directory.host()] = writeLayers(directory.host("layers"), ["a/x=1 b=2"]);
  writeFileSync(joinHost(lower, "big"), Buffer.alloc(300_000, "big"));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(joinHost(lower, "a/socket"), resolve));
  try {
    const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
    const [one, two] = [await exported(new MergedTree([lower])), await exported(new MergedTree([lower]))];
    assert.equal(hash(one.bytes), hash(two.bytes));
    assert.deepEqual(one.skipped, ["a/socket socket"]);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});
