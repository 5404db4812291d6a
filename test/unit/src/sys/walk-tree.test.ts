import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import test from "node:test";
import { walkTree } from "../../../../src/sys/walk-tree.ts";
import { requires } from "../../../helpers/requires.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

test("a walk gives every name once, sorted by bytes, directories first, and follows no link", async () => {
  await using directory = temporaryDirectory();
  mkdirSync(`${directory.path}/tree/b/deep`, { recursive: true });
  symlinkSync("..", `${directory.path}/tree/a`);
  writeFileSync(Buffer.from(`${directory.path}/tree/b/\xff`, "latin1"), "four");
  const seen = [...walkTree(directory.host("tree"))].map(({ path, stat }) => [path, stat.sizeBytes]);
  assert.deepEqual(
    seen.map(([path]) => path),
    ["a", "b", "b/deep", "b/\xff"],
  );
  assert.equal(seen.at(-1)?.[1], 4);
});

test("a walk passes over what is mounted below", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  mkdirSync(`${directory.path}/outside`);
  mkdirSync(`${directory.path}/tree/mounted`, { recursive: true });
  writeFileSync(`${directory.path}/outside/file`, "");
  execFileSync("mount", ["--bind", `${directory.path}/outside`, `${directory.path}/tree/mounted`]);
  try {
    assert.deepEqual([...walkTree(directory.host("tree"))], []);
  } finally {
    execFileSync("umount", [`${directory.path}/tree/mounted`]);
  }
});
