/** What works without the right to give files their owners, and what is said of the rest. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";

test("without root an image is stored, saved and unpacked later by root", {
  skip: requires("user-namespace"),
}, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "root.tar");
  writeFileSync(source, tar(file("f", "content", { uid: 7 })));
  // The root of a user namespace: the kernel lets it give files to nobody but itself.
  const unprivileged = (...args: readonly string[]) =>
    spawnSync("unshare", ["-Ur", LAYERCTL, "--root", store.root, ...args], { encoding: "utf8" });

  const imported = unprivileged("import", source, "--rootfs", "--name", "here:1");
  assert.equal(imported.status, 0, imported.stderr);
  assert.match(imported.stderr, /import\.unpack\.skipped.*root/);
  assert.equal(unprivileged("save", "here:1", "-o", join(store.path, "saved.tar")).status, 0);
  const mounted = unprivileged("mount", "here:1");
  assert.equal(mounted.status, 6);
  assert.match(mounted.stderr, /takes root.*ERR_NEEDS_ROOT/);
  assert.match(unprivileged("fsck").stdout, /sound/);

  if (requires("root") === false) {
    assert.match(store.ok("diff", "here:1"), /A \/f/); // unpacks
    assert.equal(store.ok("fsck", "--deep").includes("1 layers"), true);
  }
});
