import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { test } from "node:test";
import { attributesOf } from "../../../../fuse/union/attributes.ts";
import { copyUp } from "../../../../fuse/union/copy-up.ts";
import { create } from "../../../../fuse/union/create.ts";
import { unlink } from "../../../../fuse/union/remove.ts";
import { setAttributes } from "../../../../fuse/union/set-attributes.ts";
import { S_IFCHR, S_IFDIR, S_IFIFO, S_IFREG } from "../../../../src/sys/file.ts";
import { getXattr, listXattrs, setXattr } from "../../../../src/sys/xattr.ts";
import { requires } from "../../../helpers/requires.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { nodeAt, openUnion, ROOT, writeScene } from "../../../helpers/union-scene.ts";

const DEFAULT_ACL = "system.posix_acl_default";

/** user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::--- (`struct posix_acl_xattr_entry`). */
const ACL = Buffer.from(
  "0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000000ffffffff",
  "hex",
);

test("a device 0:0 cannot be made: it would be a whiteout", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["a=1"]));
  const wanted = { mode: S_IFCHR | 0o600, umask: 0, rdev: [0, 0] as const };
  assert.throws(() => create(union, ROOT, union.root, "b", wanted), { code: "EPERM" });
  assert.deepEqual(readdirSync(directory.host("upper")), []);
  create(union, ROOT, union.root, "b", { ...wanted, rdev: [1, 3] });
});

test("over a whiteout, too, a default ACL is inherited, and the file of a user is the user's", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["d/a=1 d/b=2"]);
  setXattr(directory.host("layer0", "d"), DEFAULT_ACL, ACL);
  using union = openUnion(options);
  const parent = nodeAt(union, "d");
  for (const name of ["a", "b"]) unlink(union, parent, name);
  create(union, { uid: 1000, gid: 100, pid: 1 }, parent, "a", { mode: S_IFREG | 0o4640, umask: 0o22 });
  create(union, ROOT, parent, "b", { mode: S_IFDIR | 0o777, umask: 0o22 });
  const { uid, gid, mode } = statSync(directory.host("upper", "d", "a"));
  assert.deepEqual([uid, gid, mode & 0o7777], [1000, 100, 0o4640]);
  assert.notEqual(getXattr(directory.host("upper", "d", "a"), "system.posix_acl_access"), null);
  assert.ok(getXattr(directory.host("upper", "d", "b"), DEFAULT_ACL)?.equals(ACL));
  assert.deepEqual(readdirSync(directory.host("work", "work")), ["#whiteout"], "what whiteouts are links to");
});

test("in a setgid directory a user's directory is setgid too, over a whiteout and where nothing was", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["d/a=1"]);
  chownSync(directory.host("layer0", "d"), 0, 50);
  chmodSync(directory.host("layer0", "d"), 0o2755);
  using union = openUnion(options);
  const parent = nodeAt(union, "d");
  unlink(union, parent, "a");
  for (const name of ["a", "b"]) {
    create(union, { uid: 1000, gid: 100, pid: 1 }, parent, name, { mode: S_IFDIR | 0o777, umask: 0o22 });
    const { uid, gid, mode } = statSync(directory.host("upper", "d", name));
    assert.deepEqual([uid, gid, mode & 0o7777], [1000, 50, 0o2755]);
  }
});

test("a file that is copied up does not change the times of its directory", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["d/a=1"]);
  utimesSync(directory.host("layer0", "d"), 1000, 2000);
  using union = openUnion(options);
  copyUp(union, nodeAt(union, "d/a"));
  const { atimeMs, mtimeMs } = statSync(directory.host("upper", "d"));
  assert.deepEqual([atimeMs, mtimeMs], [1_000_000, 2_000_000]);
});

test("between two copy-ups a directory is seen to change when something is made in it, or done to it", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["d/a=1 d/b=2 d/c=3"]));
  const d = nodeAt(union, "d");
  const shown = (): string => {
    const { stat, ctime } = attributesOf(union, d, union.statOf(d));
    return `${stat.mtimeNs} ${ctime.seconds}.${ctime.rest}`;
  };
  const lower = shown();
  copyUp(union, nodeAt(union, "d/a"));
  assert.equal(shown(), lower);
  create(union, ROOT, d, "new", { mode: S_IFREG | 0o644, umask: 0 });
  const made = shown();
  assert.notEqual(made, lower);
  copyUp(union, nodeAt(union, "d/b"));
  assert.equal(shown(), made);
  setAttributes(union, d, { mtime: { seconds: 1000, rest: 5 } });
  const set = shown();
  copyUp(union, nodeAt(union, "d/c"));
  assert.equal(shown(), set);
  assert.equal(statSync(directory.host("upper", "d"), { bigint: true }).mtimeNs, 1_000_000_000_005n);
});

test("a copy has its own mode and owner, whatever the directory of the workdir hands down", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["a=1 d/"]);
  for (const [name, mode] of [
    ["a", 0o600],
    ["d", 0o700],
  ] as const)
    chmodSync(directory.host("layer0", name), mode);
  chownSync(directory.host("work"), 0, 50);
  setXattr(directory.host("work"), DEFAULT_ACL, ACL);
  chmodSync(directory.host("work"), 0o2777);
  using union = openUnion(options);
  for (const [name, mode] of [
    ["a", 0o600],
    ["d", 0o700],
  ] as const) {
    copyUp(union, nodeAt(union, name));
    const stat = statSync(directory.host("upper", name));
    assert.deepEqual([stat.gid, stat.mode & 0o7777], [0, mode]);
    assert.deepEqual(
      listXattrs(directory.host("upper", name)).filter((each) => each.startsWith("system.")),
      [],
    );
  }
});

test("a fifo that lost its name can still be given away", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  using union = openUnion(writeScene(directory, ["a=1"]));
  const { node } = create(union, ROOT, union.root, "f", { mode: S_IFIFO | 0o644, umask: 0 });
  unlink(union, union.root, "f");
  const { uid, mode } = setAttributes(union, node, { uid: 5, mode: 0o600, killSuidgid: true });
  assert.deepEqual([uid, mode], [5, S_IFIFO | 0o600]);
});

test("an attribute that does not fit fails the copy-up: a file never loses what it has", {
  skip: requires("root", "program:mke2fs"),
}, async () => {
  await using directory = temporaryDirectory();
  for (const name of ["layer", "disk"]) mkdirSync(directory.host(name));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "disk", directory.host("layer")]);
  execFileSync("truncate", ["-s", "8M", directory.host("image")]);
  execFileSync("mke2fs", ["-q", "-t", "ext4", "-b", "1024", "-O", "^ea_inode", directory.host("image")]);
  execFileSync("mount", ["-o", "loop", directory.host("image"), directory.host("disk")]);
  try {
    execFileSync("sh", ["-c", "echo 1 > a; mkdir ../disk/upper ../disk/work"], { cwd: directory.host("layer") });
    setXattr(directory.host("layer", "a"), "trusted.large", Buffer.alloc(4000, 1)); // more than a block of ext4 holds
    const [upper, work] = [directory.host("disk", "upper"), directory.host("disk", "work")];
    using union = openUnion(`lowerdir=${directory.host("layer")},upperdir=${upper},workdir=${work}`);
    assert.throws(() => copyUp(union, nodeAt(union, "a")), { code: "ENOSPC" });
    assert.deepEqual(readdirSync(upper), []);
  } finally {
    for (const name of ["disk", "layer"]) execFileSync("umount", [directory.host(name)]);
  }
});

test("a workdir in the upperdir is refused, through a link too", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["a=1"]);
  mkdirSync(directory.host("upper", "work"));
  symlinkSync("upper/work", directory.host("link"));
  assert.throws(() => openUnion(options.replace(/workdir=[^,]*/, `workdir=${directory.host("link")}`)), {
    code: "EINVAL",
  });
  assert.throws(() => openUnion(options.replace(/workdir=[^,]*/, `workdir=${directory.host("upper")}`)), {
    code: "EINVAL",
  });
});

test("an upperdir has one server, whatever the workdir", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["a=1"]);
  mkdirSync(directory.host("other"));
  using _union = openUnion(options);
  const second = options.replace(/workdir=[^,]*/, `workdir=${directory.host("other")}`);
  assert.throws(() => openUnion(second), { code: "EBUSY" });
});
