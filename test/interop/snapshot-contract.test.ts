/**
 * What mounted snapshots must show and do: the behaviour that containerd's own suite for snapshotters asks for
 * (core/snapshots/testsuite), with the name of its check in each test. The checks without a mount are in
 * test/serve/service.test.ts. Mounts are made in mount namespaces that go with the script.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { requires } from "../helpers/requires.ts";
import { oneServedStore } from "../helpers/served-store.ts";
import { failsWith, type Mount, SnapshotsClient } from "../helpers/snapshots-client.ts";

const skip = requires("root", "overlay", "program:python3");
const there = await oneServedStore(skip);

/** What a tree is: types, modes, owners and targets by path, then the content of files. */
const LISTING = `find . -mindepth 1 -printf '%P %y %m %U:%G %l\\n' | sort; stat -c '%a %u:%g' .; find . -type f | sort | while read f; do echo "$f"; cat "$f"; done`;

function shell(args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync("unshare", ["-m", "sh", "-c", ...args], { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${args.join("\n")}: exit ${status}: ${stderr}`);
  return stdout;
}

/** Mounts, runs a script in the tree, and returns what it printed. As containerd does, long options are made relative. */
function inside([mount]: readonly Mount[], script: string): string {
  const { path, root } = there();
  if (mount === undefined) throw new Error("no mount");
  const target = join(path, "target");
  mkdirSync(target, { recursive: true });
  const held = `${root}/held/`;
  const options = mount.options.join(",");
  const short = options.length > 3900 ? options.replaceAll(held, "") : options;
  const make =
    mount.type === "bind"
      ? 'mount --bind "$1" "$3" && case $2 in ro*) mount -o remount,bind,ro "$3";; esac'
      : 'mount -t overlay -o "$2" overlay "$3"';
  return shell([`${make} && cd "$3" && ${script}`, "sh", mount.source, short, target], held);
}

/** Commits layers, each made by a script, and compares each stack with what the scripts make of a plain directory. */
async function checkLayers(name: string, ...scripts: readonly string[]): Promise<void> {
  const { client, path } = there();
  const flat = join(path, `flat-${name}`);
  mkdirSync(flat, { mode: 0o755 });
  let parent = "";
  for (const [index, script] of scripts.entries()) {
    const key = `${name}-${index}`;
    inside(await client.prepare(`${key}-a`, parent), script);
    await client.commit(key, `${key}-a`);
    spawnSync("sh", ["-c", script], { cwd: flat });
    const view = await client.view(`${key}-v`, key);
    assert.equal(inside(view, LISTING), shell([LISTING], flat), `layer ${index}`);
    await client.remove(`${key}-v`);
    parent = key;
  }
}

/** rename(2) alone: mv(1) would copy where a file system refuses. */
const RENAME = `r() { python3 -c 'import os, sys; os.rename(sys.argv[1], sys.argv[2])' "$@"; };`;

const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "LayerFileupdate: files of lower layers are changed, and changed again": [
    "umask 022; mkdir d; echo one > a; echo one > d/b; chmod 640 a",
    "echo two > a; echo more >> d/b; echo new > d/c",
    "echo three > a; chmod 700 d; echo x > d/c; touch empty",
    "rm a; mkdir a; echo in > a/file",
  ],
  "RemoveDirectoryInLowerLayer: a directory of a lower layer goes, and comes back empty": [
    "mkdir -p d/e; echo 1 > d/e/f; echo 2 > d/g",
    "rm -r d",
    "mkdir d; echo new > d/h",
  ],
  "Chown: owners change without the content": [
    "mkdir opt; echo a > opt/a; echo b > b; ln -s b l",
    "chown 1:2 opt/a; chown 3:4 opt",
    "chown -h 5:6 l; chown 0:0 opt/a",
  ],
  "DirectoryPermissionOnCommit: modes and owners of directories stay, also of those that a layer only passes": [
    "mkdir -m 750 d1; mkdir -m 1777 d2; mkdir -m 700 d1/in; chown 1:1 d1",
    "echo x > d1/f; mkdir -m 2755 d3",
    "echo y > d1/in/f; chmod 711 d2; chmod 750 .",
    "echo z > d2/f",
  ],
  "DeletedFilesInChildSnapshot: what was deleted stays so": ["echo 1 > foo; echo 2 > bar", "rm bar", ":"],
  "MoveFileFromLowerLayer: files move, hard links outlive the name they came from": [
    "mkdir -m 700 d1 d2; echo hello > d1/f1; echo dots > d2/f2",
    "mkdir -m 700 d3; echo hello > d3/f1; rm -r d1; ln d2/f2 d3/f2; rm d2/f2",
  ],
  "Rename: files and directories of lower layers are renamed": [
    "mkdir d1 somefiles; echo f1 > d1/f1; echo s > somefiles/f; mkdir somefiles/sub; echo t > somefiles/sub/t",
    `${RENAME} r d1/f1 d1/f2; r somefiles moved; echo more > moved/sub/u`,
    `${RENAME} r moved/sub lifted; r d1 moved/d1`,
  ],
};

for (const [name, scripts] of Object.entries(LAYERS)) {
  test(name, { skip }, () => checkLayers(name.replace(/:.*/, ""), ...scripts));
}

test("Basic and TransitivityTest: each layer shows those below it, and knows its parent", { skip }, async () => {
  const { client } = there();
  await checkLayers(
    "basic",
    "mkdir -p a/b/c; echo foo > foo",
    "echo bar > foo; echo bar > bar; rm -r a/b",
    "echo 3 > foo",
  );
  const parents = await Promise.all([0, 1, 2].map((layer) => client.stat(`basic-${layer}`)));
  assert.deepEqual(
    parents.map(({ parent }) => parent),
    ["", "basic-0", "basic-1"],
  );
});

test("RemoveIntermediateSnapshot: a layer goes after those above it", { skip }, async () => {
  const { client } = there();
  await checkLayers("stack", "echo 1 > a", "echo 2 > b");
  await client.prepare("stack-top", "stack-1");
  await assert.rejects(client.remove("stack-1"), failsWith("FAILED_PRECONDITION", /remove/));
  for (const name of ["stack-top", "stack-1", "stack-0"]) await client.remove(name);
});

test("ViewReadonly: nothing can be written through a view, of none, one or two layers", { skip }, async () => {
  const { client } = there();
  await checkLayers("ro", "echo 1 > a", "echo 2 > b");
  for (const [index, parent] of ["", "ro-0", "ro-1"].entries()) {
    const view = await client.view(`ro-view-${index}`, parent);
    assert.match(inside(view, "touch written 2>&1 || true"), /Read-only file system/);
  }
});

test("RootPermission: the root of an empty snapshot has mode 755", { skip }, async () => {
  const { client } = there();
  const previous = process.umask(0o077);
  try {
    assert.equal(inside(await client.prepare("root-mode"), "stat -c %a .").trim(), "755");
  } finally {
    process.umask(previous);
  }
});

test("StatInWalk and CloseTwice: a call inside a list, and a client that closes twice, disturb nobody", {
  skip,
}, async () => {
  const { client, socket } = there();
  const lists = Array.from({ length: 5 }, async () => {
    for (const { name } of (await client.list()).infos) await client.stat(name).catch(failsWith("NOT_FOUND"));
  });
  await Promise.all(lists);
  const other = new SnapshotsClient(socket);
  await other.prepare("close-a");
  other[Symbol.dispose]();
  other[Symbol.dispose]();
  assert.equal((await client.stat("close-a")).kind, "ACTIVE");
});

test("128LayersMount: a stack of 128 layers is one tree, on every layer", { skip }, async () => {
  const { client, path } = there();
  const flat = join(path, "flat-128");
  mkdirSync(flat, { mode: 0o755 });
  let parent = "";
  for (let layer = 0; layer < 128; layer++) {
    const script = `echo ${layer} > overwritten; mkdir -p many; echo same > many/${layer}; rm -rf only; mkdir only; echo me > only/${layer}`;
    const mounts = await client.prepare(`deep-${layer}-a`, parent);
    const isLookedAt = layer % 32 === 31;
    const shown = inside(mounts, `${isLookedAt ? `{ ${LISTING}; };` : ""} ${script}`);
    if (isLookedAt) assert.equal(shown, shell([LISTING], flat), `before layer ${layer}`);
    spawnSync("sh", ["-c", script], { cwd: flat });
    parent = `deep-${layer}`;
    await client.commit(parent, `deep-${layer}-a`);
  }
  assert.equal(inside(await client.view("deep-v", parent), LISTING), shell([LISTING], flat));
});
