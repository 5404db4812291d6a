import assert from "node:assert/strict";
import { rmSync, statSync } from "node:fs";
import { test } from "node:test";
import { unlink } from "../../../../fuse/union/remove.ts";
import { bytesOf } from "../../../../src/paths.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { openUnion, writeScene } from "../../../helpers/union-scene.ts";

test("whiteouts are names of one device, and of a new one when that has no more to give", async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["a=1 b=2 c=3"]));
  const hide = (name: string): number => {
    unlink(union, union.root, name);
    return statSync(bytesOf(directory.host("upper", name))).ino;
  };
  const [a, b] = [hide("a"), hide("b")];
  assert.equal(a, b);
  rmSync(directory.host("work", "work", "#whiteout"));
  assert.notEqual(hide("c"), a);
});
