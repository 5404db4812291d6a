import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { mountFuse } from "../helpers/fuse-mount.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeScene } from "../helpers/union-scene.ts";

test("a mounted file was made when its layer's file was, and that is known where the file system knows it", {
  skip: requires("root", "fuse"),
}, async () => {
  await using directory = temporaryDirectory();
  const options = writeScene(directory, ["below=1 d/x=2"]);
  mkdirSync(directory.host("mnt"));
  await using mount = await mountFuse(options, directory.host("mnt"));
  mount.sh("echo 3 >new");
  const shown = mount.sh("stat -c '%w' below d new");
  const onDisk = ["layer0/below", "layer0/d", "upper/new"].map((path) =>
    execFileSync("stat", ["-c", "%w", directory.host(...path.split("/"))], { encoding: "utf8" }).trim(),
  );
  assert.deepEqual(shown.split("\n"), onDisk);
});
