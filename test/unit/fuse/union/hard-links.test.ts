import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync } from "node:fs";
import { test } from "node:test";
import { attributesOf } from "../../../../fuse/union/attributes.ts";
import { contentFd } from "../../../../fuse/union/content.ts";
import { create, link } from "../../../../fuse/union/create.ts";
import { unlink } from "../../../../fuse/union/remove.ts";
import { setAttributes } from "../../../../fuse/union/set-attributes.ts";
import type { Union } from "../../../../fuse/union/union.ts";
import { writeAt } from "../../../../src/sys/data.ts";
import { listDirectory } from "../../../../src/sys/directory.ts";
import { S_IFDIR } from "../../../../src/sys/file.ts";
import { requires } from "../../../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";
import { contentAt, nodeAt, openUnion, ROOT, writeOver, writeScene } from "../../../helpers/union-scene.ts";

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

test("a file that is changed after its only known name is gone is still the one that its other names show", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeLinks(directory);
  {
    using union = openUnion(options);
    const node = nodeAt(union, "b");
    node.lookups = 1; // the kernel has it open
    unlink(union, union.root, "b");
    setAttributes(union, node, { mode: 0o600, killSuidgid: false });
    writeAt(contentFd(union, node, true), Buffer.from("B"), 1, 0);
    assert.equal(nodeAt(union, "a"), node);
    assert.equal(nlinkAt(union, "a"), 2);
    assert.equal(contentAt(union, "c"), "Below");
  }
  {
    using union = openUnion(options);
    assert.equal(nodeAt(union, "a"), nodeAt(union, "c"));
    assert.equal(contentAt(union, "a"), "Below");
    for (const name of ["a", "c"]) unlink(union, union.root, name);
  }
  assert.deepEqual(listDirectory(directory.host("work", "index")), []);
});

test("where there are no file handles, the names that are known go on as one file when it is copied up", {
  skip: requires("root", "overlay"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeLinks(directory);
  for (const name of ["above", "rest", "merged"]) mkdirSync(directory.host(name));
  const [lower, merged] = [directory.host("layer0"), directory.host("merged")];
  const layers = `lowerdir=${lower},upperdir=${directory.host("above")},workdir=${directory.host("rest")}`;
  execFileSync("mount", ["-t", "overlay", "-o", `${layers},nfs_export=off`, "overlay", merged]);
  try {
    using union = openUnion(options.replace(`lowerdir=${lower}`, `lowerdir=${merged}`));
    assert.equal(nodeAt(union, "a"), nodeAt(union, "b"));
    writeOver(union, "a", "A");
    unlink(union, union.root, "a");
    assert.equal(contentAt(union, "b"), "Aelow");
    assert.equal(nlinkAt(union, "b"), 1);
    assert.equal(contentAt(union, "c"), "below");
  } finally {
    execFileSync("umount", [merged]);
  }
});

test("on tmpfs too a copied-up file keeps its inode number, and its names are one file, when it is looked up anew", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory("/dev/shm");
  const options = writeLinks(directory);
  let ino: number;
  {
    using union = openUnion(options);
    ino = nodeAt(union, "a").ino;
    writeOver(union, "a", "A");
  }
  for (const names of ["abc", "cba"]) {
    using union = openUnion(options);
    assert.deepEqual(
      [...names].map((name) => nodeAt(union, name).ino),
      [ino, ino, ino],
    );
  }
});

test("a copied-up file that gets a name in another directory has the same inode number by both, whichever is looked up", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["d/a=below"]);
  let ino: number;
  {
    using union = openUnion(options);
    ino = nodeAt(union, "d/a").ino;
    const { node } = create(union, ROOT, union.root, "new", { mode: S_IFDIR | 0o755, umask: 0 });
    link(union, nodeAt(union, "d/a"), node, "b");
  }
  for (const name of ["d/a", "new/b"]) {
    using union = openUnion(options);
    assert.equal(nodeAt(union, name).ino, ino, name);
  }
});
