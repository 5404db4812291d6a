import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mountFuse } from "../helpers/fuse-mount.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeScene } from "../helpers/union-scene.ts";

const KNOWN = ". a a/b a/b/c a/b/c/f";

for (const [what, change] of [
  ["a file that is made deep in it, and the times of another", "touch a/b/c/new a/b/c/f"],
  ["a file that is opened for writing", "exec 7<>a/b/c/f"],
  ["a file that gets an attribute", "setfattr -n user.x -v y a/b/c/f"],
  ["a file that is moved", "mv a/b/c/f a/b/c/g && mv a/b/c/g a/b/c/f"],
] as const) {
  test(`what is known of a tree is not what was before it was copied up for ${what}`, {
    skip: requires("root", "fuse", "program:setfattr"),
  }, async () => {
    await using directory = temporaryDirectory();
    mkdirSync(join(directory.path, "mnt"));
    await using mount = await mountFuse(writeScene(directory, ["a/b/c/f=1"]), join(directory.path, "mnt"));
    const known = mount.sh(`ls -lR >/dev/null; ${change}; stat -c '%n %Z' ${KNOWN}; stat -c %z ${KNOWN}`);
    assert.equal(known, mount.sh(`cd ../upper && stat -c '%n %Z' ${KNOWN} && stat -c %z ${KNOWN}`));
    await mount.unmount();
  });
}
