import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { mountsBelow } from "../helpers/leftovers.ts";
import { requires } from "../helpers/requires.ts";

test("a relative target is found from a working directory whose name is not UTF-8", {
  skip: requires("root"),
}, async () => {
  await using store = temporaryStore();
  mkdirSync(join(store.path, "rootfs"));
  writeFileSync(join(store.path, "rootfs", "file"), "x");
  execFileSync("tar", ["-C", join(store.path, "rootfs"), "-cf", join(store.path, "rootfs.tar"), "."]);
  store.ok("import", "--rootfs", "--name", "base:1", join(store.path, "rootfs.tar"));
  const script = `cd "$1" && mkdir "$(printf 'odd\\377')" && cd "$(printf 'odd\\377')" && shift &&
    "$@" mount base:1 target --name one >/dev/null && ls target && "$@" umount target && "$@" mount one ../target`;
  const args = ["-c", script, "sh", store.path, LAYERCTL, "--root", store.root];
  assert.equal(execFileSync("sh", args, { encoding: "utf8" }), `file\n${store.path}/target\n`);
  assert.deepEqual(mountsBelow(store.path), [join(store.path, "target")]);
});
