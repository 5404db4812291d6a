/** A store in a container without a volume: on an overlayfs. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { runLayerctl } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

test("on an overlayfs a layer without whiteouts is imported, and one with them is refused in words", {
  skip: requires("root", "overlay"),
}, async () => {
  await using directory = temporaryDirectory();
  const path = (name: string): string => join(directory.path, name);
  for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(path(name));
  const base = tar(file("d/gone"));
  writeFiles(path("base"), ociFiles([{ layers: [base] }]));
  writeFiles(path("whiteout"), ociFiles([{ layers: [base, tar(file("d/.wh.gone"))] }]));
  const options = `lowerdir=${path("lower")},upperdir=${path("upper")},workdir=${path("work")}`;
  execFileSync("mount", ["-t", "overlay", "-o", options, "overlay", path("merged")]);
  try {
    const run = (...args: readonly string[]) => runLayerctl(["--root", path("merged/store"), ...args]);
    assert.equal(run("import", path("base")).exitCode, 0);
    const { exitCode, stderr } = run("import", path("whiteout"));
    assert.match(stderr, /^layerctl: Cannot unpack the whiteout of "d\/gone": .* on a volume\) \(ERR_NO_WHITEOUTS\)$/m);
    assert.equal(exitCode, 6);
    assert.equal(run("fsck", "--deep").exitCode, 0);
  } finally {
    execFileSync("umount", [path("merged")]);
  }
});
