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

const BASH = `eval "$(layerctl completion bash)"; COMP_LINE=$1; COMP_POINT=\${#1}; _layerctl; printf '%s\\n' "\${COMPREPLY[@]}"`;
/** The completion system's part is played by functions that print what they are given. */
const ZSH = `compdef() { : }; _files() { print FILES }
compadd() { local -a fit; fit=(\${(M)\${(P)2}:#$PREFIX*}); (( $#fit )) && print -rl -- $fit }
eval "$(layerctl completion zsh)"
words=("\${(@s: :)1}"); CURRENT=$#words; PREFIX=$words[-1]; _layerctl`;
const FISH = 'layerctl completion fish | source; complete -C "$argv[1]"';
const SHELLS = [
  ["bash", ["--norc", "-c", BASH, "bash"]],
  ["zsh", ["-f", "-c", ZSH, "zsh"]],
  ["fish", ["--no-config", "-c", FISH]],
] as const;

/** What a shell offers at the end of `line`: the words, without fish's descriptions. */
function complete(
  store: TestStore,
  line: string,
  [shell, args]: (typeof SHELLS)[number] = SHELLS[0],
): readonly string[] {
  const { stdout, stderr } = spawnSync(shell, [...args, line], {
    cwd: store.path,
    encoding: "utf8",
    env: { PATH: `${dirname(LAYERCTL)}:${process.env.PATH}`, HOME: store.path, LAYERCTL_ROOT: store.root, LC_ALL: "C" },
  });
  assert.equal(stderr, "");
  const words = stdout.trim() === "" ? [] : stdout.trim().split("\n");
  return words.map((word) => word.replace(/\t.*/, ""));
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

for (const shell of SHELLS) {
  const skip = requires(`program:${shell[0]}`);
  test(`${shell[0]} knows the command behind options, and the options behind the command`, { skip }, async () => {
    await using store = temporaryStore();
    const offered = (line: string): readonly string[] => complete(store, line, shell).toSorted();
    assert.deepEqual(offered("layerctl mo"), ["mount", "mounts"]);
    assert.deepEqual(offered("layerctl help mo"), ["mount", "mounts"]);
    assert.deepEqual(offered("layerctl --root /x --json mo"), ["mount", "mounts"]);
    assert.deepEqual(offered("layerctl --root /x save x --form"), ["--format"]);
    assert.deepEqual(offered("layerctl save x --format oci-"), ["oci-archive", "oci-layout"]);
    assert.deepEqual(offered("layerctl completion z"), ["zsh"]);
  });

  test(`${shell[0]} offers the names of the store that is on the line`, {
    skip: requires("root", `program:${shell[0]}`),
  }, async () => {
    await using store = temporaryStore();
    const image = writeFiles(join(store.path, "image"), ociFiles([{ layers: [tar(tarDirectory("etc/"))] }]));
    store.ok("import", image, "--name", "debian:12");
    store.ok("tag", "debian:12", "other:1");
    const other = join(store.path, "second");
    store.run(["--root", other, "import", image, "--name", "elsewhere:1"]);
    assert.deepEqual(complete(store, "layerctl history deb", shell), ["debian:12"]);
    assert.deepEqual(complete(store, `layerctl --root ${other} tag else`, shell), ["elsewhere:1"]);
  });
}

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
