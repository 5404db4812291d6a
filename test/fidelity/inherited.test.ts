/** What the directory that a store lies in must not do to the files of a layer. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runLayerctl, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { directory, file, tar } from "../helpers/tar-builder.ts";

test("a setgid bit and a default ACL above the store do not reach the files of a layer", {
  skip: requires("root", "program:setfacl"),
}, async () => {
  await using store = temporaryStore();
  const above = join(store.path, "above");
  mkdirSync(above);
  execFileSync("sh", ["-c", 'chgrp 4321 "$0" && chmod 2777 "$0" && setfacl -d -m u:1234:rwx,m::rwx "$0"', above]);
  const source = join(store.path, "layer.tar");
  writeFileSync(
    source,
    tar(file("f", "x", { mode: 0o640 }), directory("d/", { mode: 0o750 }), file("d/g", "y", { mode: 0o600 })),
  );
  const root = join(above, "store");
  const ok = (...args: readonly string[]): string => {
    const { exitCode, stdout, stderr } = runLayerctl(["--root", root, ...args]);
    assert.equal(exitCode, 0, stderr);
    return stdout.toString().trim();
  };
  ok("import", source, "--rootfs", "--name", "here:1");
  const merged = ok("mount", "here:1", "--name", "work");
  try {
    const stat = execFileSync("stat", ["-c", "%n %a %g", "f", "d", "d/g"], { cwd: merged, encoding: "utf8" });
    assert.equal(stat, "f 640 0\nd 750 0\nd/g 600 0\n");
    assert.equal(execFileSync("getfacl", ["-cps", "f", "d", "d/g"], { cwd: merged, encoding: "utf8" }), "");
    writeFileSync(join(merged, "new"), "");
    assert.equal(execFileSync("stat", ["-c", "%g", join(merged, "new")], { encoding: "utf8" }), "0\n");
  } finally {
    ok("umount", "work");
  }
});
