import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mountFuse } from "../helpers/fuse-mount.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeScene } from "../helpers/union-scene.ts";

/** Of each change: the directories that it changes, and not only copies up. */
for (const [what, change, changed] of [
  ["a directory that is made deep in it, and the times of a file", "touch a/b/c/f && mkdir a/b/c/new", ["a/b/c"]],
  ["a file that is opened for writing", "exec 7<>a/b/c/f", []],
  ["a file that gets an attribute", "setfattr -n user.x -v y a/b/c/f", []],
  ["a file that is moved", "mv a/b/c/f a/b/c/g && mv a/b/c/g a/b/c/f", ["a/b/c"]],
  ["a directory that gets another mode", "chmod 700 a/b/c", ["a/b/c"]],
  ["a directory that gets an attribute", "setfattr -n user.x -v y a/b/c", ["a/b/c"]],
  ["a directory that is made in one that was copied up for a file", "exec 7<>a/b/c/f; mkdir a/b/c/d", ["a/b/c"]],
] as const) {
  test(`only what was changed shows a change: ${what}`, {
    skip: requires("root", "fuse", "program:setfattr"),
  }, async () => {
    await using directory = temporaryDirectory();
    mkdirSync(join(directory.path, "mnt"));
    await using mount = await mountFuse(writeScene(directory, ["a/b/c/f=1"]), join(directory.path, "mnt"));
    const directories = [".", "a", "a/b", "a/b/c"];
    const timesOf = (paths: readonly string[], script = ""): string =>
      mount.sh(`${script} stat -c %n:%z ${paths.join(" ")}`);
    const before = timesOf(directories, "ls -lR >/dev/null;").split("\n");
    const after = timesOf(directories, `${change};`).split("\n");
    const others = directories.filter((_, at) => before[at] !== after[at]);
    assert.deepEqual(others, changed);
    const copies = mount.sh("cd ../upper; find . -type f");
    if (copies !== "") assert.equal(timesOf([copies]), timesOf([copies], "cd ../upper;"), "a file is a new one");
    await mount.unmount();
  });
}

test("with noxattrs a file is written that was there before, and serves no attributes", {
  skip: requires("root", "fuse", "program:setfattr"),
}, async () => {
  await using directory = temporaryDirectory();
  mkdirSync(join(directory.path, "mnt"));
  await using mount = await mountFuse(`${writeScene(directory, ["f=1"])},noxattrs=1`, join(directory.path, "mnt"));
  assert.equal(mount.sh("echo 2 >>f; echo 3 >>f; cat f"), "12\n3");
  assert.match(mount.sh("setfattr -n user.a -v b f || true"), /not supported/);
  await mount.unmount();
});

/** Writes through a mapping, and closes it; then waits a while for another time of modification than before. */
const MAP = `python3 -c '
import mmap, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR)
before = os.stat(sys.argv[1]).st_mtime
with mmap.mmap(file, 1) as mapping:
    mapping[0:1] = b"2"
    mapping.flush()
os.close(file)
until = time.monotonic() + 10
while os.stat(sys.argv[1]).st_mtime == before and time.monotonic() < until: time.sleep(0.01)
print(sys.argv[1], open(sys.argv[1]).read(), os.stat(sys.argv[1]).st_mtime > before)'`;

for (const passthrough of ["", "passthrough=off"]) {
  test(`a write through a mapping sets the time of modification ${passthrough}`, {
    skip: requires("root", "fuse", "program:python3"),
  }, async () => {
    await using directory = temporaryDirectory();
    mkdirSync(join(directory.path, "mnt"));
    const options = [writeScene(directory, ["lower=1 setgid=1"]), passthrough].filter((each) => each !== "").join(",");
    await using mount = await mountFuse(options, join(directory.path, "mnt"));
    mount.sh("echo -n 1 >upper; chmod 2755 setgid; touch -d 2001-01-01 upper setgid; stat *");
    for (const name of ["lower", "upper", "setgid"]) assert.equal(mount.sh(`${MAP} ${name}`), `${name} 2 True`);
    await mount.unmount();
  });
}
