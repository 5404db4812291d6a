/** The completion scripts, run by the shells that are installed. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, runLayerctl, type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { tar, directory as tarDirectory } from "../helpers/tar-builder.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

/** What bash offers at the end of `line`. */
function complete(store: TestStore, line: string): readonly string[] {
  const script = `eval "$(layerctl completion bash)"; COMP_LINE=$1; COMP_POINT=\${#1}; _layerctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["--norc", "-c", script, "bash", line], {
    encoding: "utf8",
    env: { PATH: `${dirname(LAYERCTL)}:${process.env.PATH}`, LAYERCTL_ROOT: store.root, LC_ALL: "C" },
  });
  assert.equal(stderr, "");
  return stdout.trim() === "" ? [] : stdout.trim().split("\n");
}

test("bash completes commands, options and their values", { skip: requires("program:bash") }, async () => {
  await using store = temporaryStore();
  assert.deepEqual(complete(store, "layerctl mo"), ["mount", "mounts"]);
  assert.deepEqual(complete(store, "layerctl --root /x --js"), ["--json"]);
  assert.deepEqual(complete(store, "layerctl save x --form"), ["--format"]);
  assert.deepEqual(complete(store, "layerctl save x --format oci-"), ["oci-archive", "oci-layout"]);
  assert.deepEqual(complete(store, "layerctl completion z"), ["zsh"]);
});

test("bash offers no names where a file is wanted", { skip: requires("program:bash") }, async () => {
  await using store = temporaryStore();
  assert.deepEqual(complete(store, "layerctl import "), []);
  assert.deepEqual(complete(store, "layerctl save x -o "), []);
  assert.deepEqual(complete(store, "layerctl --root "), []);
});

test("bash completes images and snapshots, after a colon too", {
  skip: requires("root", "overlay", "program:bash"),
}, async () => {
  await using store = temporaryStore();
  assert.deepEqual(complete(store, "layerctl history "), []);
  store.ok(
    "import",
    writeFiles(join(store.path, "image"), ociFiles([{ layers: [tar(tarDirectory("etc/"))] }])),
    "--name",
    "debian:12",
  );
  store.ok("tag", "debian:12", "debian:mine");
  store.mount("debian:12", "--name", "work");
  assert.deepEqual(complete(store, "layerctl history d"), ["debian:12", "debian:mine"]);
  assert.deepEqual(complete(store, "layerctl history debian:m"), ["mine"]);
  assert.deepEqual(complete(store, "layerctl umount w"), ["work"]);
  assert.deepEqual(complete(store, "layerctl umount d"), []);
});

for (const [shell, check] of [
  ["bash", ["-n"]],
  ["zsh", ["-n"]],
  ["fish", ["--no-execute"]],
] as const) {
  test(`the script for ${shell} is valid`, { skip: requires(`program:${shell}`) }, async () => {
    await using directory = temporaryDirectory();
    const file = join(directory.path, "script");
    writeFileSync(file, runLayerctl(["completion", shell]).stdout);
    const { status, stderr } = spawnSync(shell, [...check, file], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
  });
}
