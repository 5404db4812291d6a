/** What works without the right to give files their owners, and what is said of the rest. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { device, file, tar } from "../helpers/tar-builder.ts";

test("without root an image is unpacked with owners in attributes, and root goes on with such a store", {
  skip: requires("user-namespace"),
}, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "root.tar");
  writeFileSync(source, tar(file("f", "content", { uid: 7 }), device("null", "3", 1, 3)));
  // The root of a user namespace: the kernel lets it give files to nobody but itself, and make no devices.
  const unprivileged = (...args: readonly string[]) =>
    spawnSync("unshare", ["-Ur", LAYERCTL, "--root", store.root, ...args], { encoding: "utf8" });

  const imported = unprivileged("import", source, "--rootfs", "--name", "here:1");
  assert.deepEqual([imported.status, imported.stderr], [0, ""]);
  assert.equal(unprivileged("save", "here:1", "-o", join(store.path, "saved.tar")).status, 0);
  assert.equal(unprivileged("export", "here:1", "-o", join(store.path, "theirs.tar")).status, 0);
  assert.match(unprivileged("fsck", "--deep").stdout, /sound/);

  if (requires("root") === false) {
    assert.match(store.ok("diff", "here:1"), /A \/f\nA \/null/);
    assert.match(store.ok("fsck", "--deep"), /1 layers.*sound/);
    store.ok("export", "here:1", "-o", join(store.path, "ours.tar"));
    const [ours, theirs] = ["ours.tar", "theirs.tar"].map((name) => readFileSync(join(store.path, name)));
    assert.ok(ours?.equals(theirs ?? Buffer.alloc(0)));
    const listed = spawnSync("tar", ["tvf", join(store.path, "ours.tar"), "--numeric-owner"], { encoding: "utf8" });
    assert.match(listed.stdout, /7\/0 +7 .* f\n/);
    assert.match(listed.stdout, /crw-r--r-- 0\/0 +1,3 .* null\n/);
    const other = join(store.path, "other.tar");
    writeFileSync(other, tar(file("g", "x", { uid: 8 })));
    store.ok("import", other, "--rootfs", "--name", "other:1"); // in the form that the store has
    assert.match(store.ok("fsck", "--deep"), /2 layers.*sound/);
  }
});

test("without root a store that root has unpacked in keeps its form: images are stored, and unpacked by root", {
  skip: requires("root", "user-namespace"),
}, async () => {
  await using store = temporaryStore();
  const sources = ["a", "b"].map((name) => join(store.path, `${name}.tar`));
  for (const source of sources) writeFileSync(source, tar(file("f", source, { uid: 7 })));
  store.ok("import", sources[0] ?? "", "--rootfs", "--name", "a:1");
  // Of a namespace, without the right to give files away: but the store's owner.
  const unprivileged = (...args: readonly string[]) =>
    spawnSync("unshare", ["-Ur", LAYERCTL, "--root", store.root, ...args], { encoding: "utf8" });
  const imported = unprivileged("import", sources[1] ?? "", "--rootfs", "--name", "b:1");
  assert.equal(imported.status, 0, imported.stderr);
  assert.match(imported.stderr, /import\.unpack\.skipped.*root/);
  assert.match(unprivileged("diff", "b:1").stderr, /takes root.*ERR_NEEDS_ROOT/);
  assert.match(store.ok("diff", "b:1"), /A \/f/);
});
