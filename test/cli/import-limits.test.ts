/** Imports on hosts that give a process little. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";
import { ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";

test("an image with more layers than there may be open files is imported", { skip: requires("root") }, async () => {
  await using store = temporaryStore();
  const layout = join(store.path, "layout");
  writeFiles(layout, ociFiles([{ layers: Array.from({ length: 150 }, (_, at) => tar(file(`f${at}`, "x"))) }]));
  const script = 'ulimit -n 200 && exec "$0" "$@"';
  const { status, stderr } = spawnSync("bash", ["-c", script, LAYERCTL, "--root", store.root, "import", layout]);
  assert.equal(status, 0, stderr.toString());
});
