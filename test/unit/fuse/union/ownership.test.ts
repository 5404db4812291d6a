import assert from "node:assert/strict";
import { lstatSync, statSync } from "node:fs";
import { test } from "node:test";
import { Reply } from "../../../../fuse/protocol/reply.ts";
import { contentFd } from "../../../../fuse/union/content.ts";
import { copyUp } from "../../../../fuse/union/copy-up.ts";
import { create, createUnnamed } from "../../../../fuse/union/create.ts";
import { readDirectory } from "../../../../fuse/union/readdir.ts";
import { setAttributes } from "../../../../fuse/union/set-attributes.ts";
import { getAttribute, listAttributes, removeAttribute, setAttribute } from "../../../../fuse/union/xattrs.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG } from "../../../../src/sys/file.ts";
import { getXattr, listXattrs, setXattr } from "../../../../src/sys/xattr.ts";
import { requires } from "../../../helpers/requires.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { contentAt, nodeAt, openUnion, ROOT, writeScene } from "../../../helpers/union-scene.ts";

const CONTAINERS = "user.containers.override_stat";
const USER = { uid: 1000, gid: 100, pid: 1 };

type Open = ReturnType<typeof openUnion>;

/** uid, gid, mode in octal and device of what a path shows. */
function shown(union: Open, path: string): string {
  const { uid, gid, mode, rdevMajor, rdevMinor } = union.statOf(nodeAt(union, path));
  return `${uid}:${gid} ${mode.toString(8)} ${rdevMajor}:${rdevMinor}`;
}

function text(target: Parameters<typeof getXattr>[0], name = CONTAINERS): string | undefined {
  return getXattr(target, name)?.toString("latin1");
}

test("with xattr_permissions=2 owner, mode and type go to an attribute, and come back at the next mount", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = `${writeScene(directory, ["a=1 d/x=2"])},xattr_permissions=2`;
  const paths = ["f", "d/dir", "disk", "pipe", "d/x", "", "a"];
  let before: readonly string[];
  {
    using union = openUnion(options);
    create(union, USER, union.root, "f", { mode: S_IFREG | 0o4640, umask: 0o22 });
    create(union, USER, nodeAt(union, "d"), "dir", { mode: S_IFDIR | 0o1700, umask: 0 });
    create(union, USER, union.root, "disk", { mode: S_IFBLK | 0o660, umask: 0, rdev: [8, 1] });
    create(union, ROOT, union.root, "pipe", { mode: S_IFIFO | 0o600, umask: 0 });
    setAttributes(union, nodeAt(union, "d/x"), { uid: 7, gid: 8 });
    setAttributes(union, nodeAt(union, "disk"), { gid: 9, mode: 0o600 });
    before = paths.map((path) => shown(union, path));
    assert.deepEqual(before.slice(0, 5), [
      "1000:100 104640 0:0",
      "1000:100 41700 0:0",
      "1000:9 60600 8:1",
      "0:0 10600 0:0",
      "7:8 100644 0:0",
    ]);
  }
  using union = openUnion(options);
  assert.deepEqual(
    paths.map((path) => shown(union, path)),
    before,
  );
  for (const name of ["f", "disk", "pipe", "d/x"]) {
    const { uid, mode } = lstatSync(directory.host("upper", ...name.split("/")));
    assert.deepEqual([uid, mode & S_IFMT, mode & 0o7055], [0, S_IFREG, 0o055], name);
  }
  assert.equal(text(directory.host("upper", "f")), "1000:100:4640");
  assert.equal(text(directory.host("upper", "disk")), "1000:9:0600:block-8-1");
});

test("a listing says the type of what a file stands in for", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["null="]);
  setXattr(directory.host("layer0"), CONTAINERS, Buffer.from("0:0:0755"));
  setXattr(directory.host("layer0", "null"), CONTAINERS, Buffer.from("0:0:0666:char-1-3"));
  using union = openUnion(options);
  const reply = new Reply(Buffer.alloc(4096));
  readDirectory(union, union.root, 2, 4096, reply);
  assert.equal(reply.buffer.readUInt32LE(16 + 20), S_IFCHR >> 12);
});

test("lower layers are read by the attribute that their root has, and copied up to what the upperdir uses", {
  skip: requires("root"),
}, async () => {
  for (const attribute of [CONTAINERS, "user.fuseoverlayfs.override_stat", "security.fuseoverlayfs.override_stat"]) {
    await using directory = temporaryDirectory();
    const options = writeScene(directory, ["a=1 null=", "b=2"]);
    setXattr(directory.host("layer0"), attribute, Buffer.from("3:4:0711"));
    setXattr(directory.host("layer0", "a"), attribute, Buffer.from("5:6:0400"));
    setXattr(directory.host("layer0", "null"), attribute, Buffer.from("0:0:0666:char-1-3"));
    setXattr(directory.host("layer1", "b"), attribute, Buffer.from("5:6:0400")); // its root has none: an ordinary one
    using union = openUnion(options);
    assert.deepEqual([shown(union, "a"), shown(union, "null")], ["5:6 100400 0:0", "0:0 20666 1:3"]);
    assert.equal(shown(union, "b"), "0:0 100644 0:0");
    assert.deepEqual(listAttributes(union, nodeAt(union, "a"), 0), []);
    const umask = process.umask(0); // as in a server
    for (const name of ["a", "null"]) copyUp(union, nodeAt(union, name));
    process.umask(umask);
    const [a, device] = [statSync(directory.host("upper", "a")), statSync(directory.host("upper", "null"))];
    assert.deepEqual([a.uid, a.gid, a.mode], [5, 6, S_IFREG | 0o400]);
    assert.deepEqual([device.rdev, device.mode], [0x103, S_IFCHR | 0o666]);
    assert.equal(contentAt(union, "a"), "1");
    assert.ok(!listXattrs(directory.host("upper", "a")).includes(attribute));
  }
});

test("the root of an upperdir gets what the topmost speaking lower root says, and keeps what it has", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = `${writeScene(directory, ["a=1"])},xattr_permissions=2`;
  setXattr(directory.host("layer0"), CONTAINERS, Buffer.from("3:4:0711"));
  {
    using union = openUnion(options);
    assert.equal(shown(union, ""), "3:4 40711 0:0");
    setAttributes(union, union.root, { mode: 0o700 });
  }
  using union = openUnion(options.replace(",xattr_permissions=2", "")); // it says so itself
  assert.equal(shown(union, ""), "3:4 40700 0:0");
  create(union, USER, union.root, "f", { mode: S_IFREG | 0o600, umask: 0 });
  assert.equal(text(directory.host("upper", "f")), "1000:100:0600");
});

test("attributes that the server needs for itself are hidden, and one of that name is kept under another", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(`${writeScene(directory, ["a=1"])},xattr_permissions=2`);
  const node = nodeAt(union, "a");
  const capability = Buffer.from("0100000200040000000000000000000000000000", "hex");
  setAttribute(union, node, "security.capability", capability, 0, false);
  setAttribute(union, node, CONTAINERS, Buffer.from("0:0:4777"), 0, false);
  setAttribute(union, node, "user.x", Buffer.from("1"), 0, false);
  assert.deepEqual([...listAttributes(union, node, 0)].sort(), ["security.capability", CONTAINERS, "user.x"]);
  assert.equal(shown(union, "a"), "0:0 100644 0:0");
  assert.ok(getAttribute(union, node, "security.capability")?.equals(capability));
  const upper = directory.host("upper", "a");
  assert.ok(!listXattrs(upper).includes("security.capability"));
  assert.ok(getXattr(upper, "user.containers.override_security.capability")?.equals(capability));
  removeAttribute(union, node, CONTAINERS);
  setAttributes(union, node, { uid: 1 }); // takes capabilities along
  assert.deepEqual(listAttributes(union, node, 0), ["user.x"]);
});

test("a change of owner takes setuid along, of a directory not; and a file without a name has an owner too", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(`${writeScene(directory, ["a=1 d/"])},xattr_permissions=1`);
  const [file, inner] = [nodeAt(union, "a"), nodeAt(union, "d")];
  for (const node of [file, inner]) setAttributes(union, node, { mode: 0o6755 });
  for (const node of [file, inner]) setAttributes(union, node, { uid: 5 });
  assert.deepEqual([shown(union, "a"), shown(union, "d")], ["5:0 100755 0:0", "5:0 46755 0:0"]);
  const { node } = createUnnamed(union, USER, union.root, { mode: S_IFREG | 0o640, umask: 0 });
  const { uid, gid, mode } = union.statOf(node);
  assert.deepEqual([uid, gid, mode], [1000, 100, S_IFREG | 0o640]);
  assert.equal(text(contentFd(union, node, false), "security.fuseoverlayfs.override_stat"), "1000:100:0640");
});

test("with override_stat=off nothing is read from attributes", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["a=1"]);
  for (const path of [directory.host("layer0"), directory.host("layer0", "a")]) {
    setXattr(path, CONTAINERS, Buffer.from("5:6:0400"));
  }
  using union = openUnion(`${options},override_stat=off`);
  assert.equal(shown(union, "a"), "0:0 100644 0:0");
  assert.deepEqual(listAttributes(union, nodeAt(union, "a"), 0), [CONTAINERS]);
});

test("a label on the upperdir is noticed: files made get theirs from the kernel", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["a=1"]);
  setXattr(directory.host("upper"), "security.label", Buffer.from("x"));
  using union = openUnion(options);
  assert.equal(union.hasLabels, true);
});
