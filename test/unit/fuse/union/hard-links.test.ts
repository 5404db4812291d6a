import assert from "node:assert/strict";
import { linkSync } from "node:fs";
import { test } from "node:test";
import { attributesOf } from "../../../../fuse/union/attributes.ts";
import { unlink } from "../../../../fuse/union/remove.ts";
import type { Union } from "../../../../fuse/union/union.ts";
import { listDirectory } from "../../../../src/sys/directory.ts";
import { requires } from "../../../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";
import { contentAt, nodeAt, openUnion, writeOver, writeScene } from "../../../helpers/union-scene.ts";

/** One file with the names a, b and c. */
function writeLinks(directory: TemporaryDirectory): string {
  const options = writeScene(directory, ["a=below"]);
  for (const name of ["b", "c"]) linkSync(directory.host("layer0", "a"), directory.host("layer0", name));
  return options;
}

function nlinkAt(union: Union, path: string): number {
  const node = nodeAt(union, path);
  return attributesOf(union, node, union.statOf(node)).nlink;
}

test("after the next mount too, the names of a copied-up file are one file, above and below", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeLinks(directory);
  {
    using union = openUnion(options);
    writeOver(union, "a", "A");
  }
  using union = openUnion(options);
  assert.equal(nodeAt(union, "a"), nodeAt(union, "b"));
  assert.equal(nlinkAt(union, "a"), 3);
  writeOver(union, "c", "ABC");
  assert.equal(contentAt(union, "a"), "ABCow");
});

test("a copy is in the index as long as a name shows it, and leaves it with the last", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeLinks(directory);
  {
    using union = openUnion(options);
    writeOver(union, "a", "A");
  }
  {
    using union = openUnion(options);
    for (const name of ["a", "b"]) unlink(union, union.root, name);
    assert.equal(contentAt(union, "c"), "Aelow");
    unlink(union, union.root, "c");
  }
  assert.deepEqual(listDirectory(directory.host("work", "index")), []);
});
