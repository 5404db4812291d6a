import assert from "node:assert/strict";
import { chmodSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { Counters } from "../../../../fuse/server/counters.ts";
import { Files } from "../../../../fuse/server/files.ts";
import { link } from "../../../../fuse/union/create.ts";
import { rename } from "../../../../fuse/union/rename.ts";
import { bytesOf } from "../../../../src/paths.ts";
import { O_RDONLY, O_RDWR } from "../../../../src/sys/file.ts";
import { getXattr, setXattr } from "../../../../src/sys/xattr.ts";
import { requires } from "../../../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";
import { contentAt, nodeAt, openUnion, writeOver, writeScene } from "../../../helpers/union-scene.ts";

const METACOPY = "trusted.overlay.metacopy";

/** A file of the lower layer, and of it a copy of metadata alone, as a kernel mount with metacopy=on leaves it. */
function writeMetacopy(directory: TemporaryDirectory): string {
  const options = writeScene(directory, ["a=below"]);
  const copy = directory.host("upper", "a");
  writeFileSync(bytesOf(copy), "");
  truncateSync(bytesOf(copy), 5);
  chmodSync(bytesOf(copy), 0o600);
  setXattr(copy, METACOPY, Buffer.alloc(0));
  return options;
}

test("a write to a metacopy file gets it its content first, and never reaches the layer below", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeMetacopy(directory));
  writeOver(union, "a", "B");
  assert.equal(contentAt(union, "a"), "Below");
  assert.equal(readFileSync(directory.host("layer0", "a"), "latin1"), "below");
  assert.equal(readFileSync(directory.host("upper", "a"), "latin1"), "Below");
  assert.equal(getXattr(directory.host("upper", "a"), METACOPY), null);
});

test("a metacopy file that is open for reading shows what is written by who opened it later", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeMetacopy(directory));
  const files = new Files(union, -1, new Counters());
  const node = nodeAt(union, "a");
  files.open(node, O_RDONLY);
  assert.equal(contentAt(union, "a"), "below");
  files.open(node, O_RDWR);
  writeOver(union, "a", "B");
  assert.equal(contentAt(union, "a"), "Below");
  assert.equal(readFileSync(directory.host("layer0", "a"), "latin1"), "below");
});

for (const [what, act] of [
  ["renamed", (union) => rename(union, union.root, "a", union.root, "b", 0)],
  ["linked", (union) => void link(union, nodeAt(union, "a"), union.root, "b")],
] satisfies [string, (union: ReturnType<typeof openUnion>) => void][]) {
  test(`a metacopy file that is ${what} keeps its content, and after the next mount too`, {
    skip: requires("root"),
  }, async () => {
    await using directory = temporaryDirectory();
    const options = writeMetacopy(directory);
    {
      using union = openUnion(options);
      act(union);
      assert.equal(contentAt(union, "b"), "below");
    }
    using union = openUnion(options);
    assert.equal(contentAt(union, "b"), "below");
  });
}
