import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { create, link } from "../../../../fuse/union/create.ts";
import { rmdir, unlink } from "../../../../fuse/union/remove.ts";
import { rename } from "../../../../fuse/union/rename.ts";
import { setAttributes } from "../../../../fuse/union/set-attributes.ts";
import { getAttribute, removeAttribute, setAttribute } from "../../../../fuse/union/xattrs.ts";
import { bytesOf, PATH_MAX } from "../../../../src/paths.ts";
import { S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from "../../../../src/sys/file.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { contentAt, nodeAt, openUnion, ROOT, writeOver, writeScene } from "../../../helpers/union-scene.ts";

const LEVELS = Array.from({ length: 2 * Math.ceil(PATH_MAX / 250) }, (_, level) => String(level).padStart(250, "d"));
const DEEPEST = LEVELS.join("/");
const FILE = { mode: S_IFREG | 0o644, umask: 0 };
const DIRECTORY = { mode: S_IFDIR | 0o755, umask: 0 };

test("everything works in a directory whose path is longer than any that the kernel takes", async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["a=1"]);
  {
    using union = openUnion(options);
    LEVELS.reduce((parent, name) => create(union, ROOT, parent, name, DIRECTORY).node, union.root);
    const deepest = nodeAt(union, DEEPEST);
    create(union, ROOT, deepest, "file", FILE);
    create(union, ROOT, deepest, "link", { ...FILE, mode: S_IFLNK | 0o777, target: "file" });
    create(union, ROOT, deepest, "fifo", { ...FILE, mode: S_IFIFO | 0o644 });
    create(union, ROOT, deepest, "directory", DIRECTORY);
    writeOver(union, `${DEEPEST}/file`, "content");
  }
  mkdirSync(bytesOf(directory.host("upper2")));
  const { upper, upper2 } = { upper: directory.host("upper"), upper2: directory.host("upper2") };
  const above = options.replace("lowerdir=", `lowerdir=${upper}:`).replace(`upperdir=${upper}`, `upperdir=${upper2}`);
  for (const stack of [options, above]) {
    using union = openUnion(stack);
    const deepest = nodeAt(union, DEEPEST);
    const file = nodeAt(union, `${DEEPEST}/file`);
    const changed = setAttributes(union, file, { mode: 0o600, uid: ROOT.uid, mtime: { seconds: 5, rest: 6 } });
    assert.deepEqual([changed.mode, changed.mtimeNs], [S_IFREG | 0o600, 5_000_000_006n]);
    setAttribute(union, file, "user.x", Buffer.from("y"), 0, false);
    assert.equal(getAttribute(union, file, "user.x")?.toString(), "y");
    removeAttribute(union, file, "user.x");
    assert.equal(contentAt(union, `${DEEPEST}/file`), "content");
    link(union, file, deepest, "second");
    rename(union, deepest, "link", deepest, "moved", 0);
    rename(union, deepest, "fifo", union.root, "fifo", 0);
    unlink(union, deepest, "file");
    rename(union, deepest, "second", deepest, "file", 0);
    rmdir(union, deepest, "directory");
    create(union, ROOT, deepest, "directory", DIRECTORY);
    rename(union, deepest, "moved", deepest, "link", 0);
    rename(union, union.root, "fifo", deepest, "fifo", 0);
  }
});
