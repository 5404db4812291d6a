/** Imports on hosts that give a process few open files. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";
import { ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";

async function imports(layers: readonly Buffer[], openFiles: number): Promise<void> {
  await using store = temporaryStore();
  const layout = join(store.path, "layout");
  writeFiles(layout, ociFiles([{ layers }]));
  const script = `ulimit -n ${openFiles} && exec "$0" "$@"`;
  const { status, stderr } = spawnSync("bash", ["-c", script, LAYERCTL, "--root", store.root, "import", layout]);
  assert.equal(status, 0, stderr.toString());
}

test("an image with more layers than there may be open files is imported", { skip: requires("root") }, async () => {
  await imports(
    Array.from({ length: 150 }, (_, at) => tar(file(`f${at}`, "x"))),
    200,
  );
});

test("a layer with whiteouts in more directories than there may be open files is imported", {
  skip: requires("root"),
}, async () => {
  const directories = Array.from({ length: 1000 }, (_, at) => `d${at}`);
  const lower = tar(...directories.map((name) => file(`${name}/f`, "x")));
  await imports([lower, tar(...directories.map((name) => file(`${name}/.wh.f`)))], 600);
});
