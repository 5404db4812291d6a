/** Imports that are killed, and imports that run at the same time. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";

/** A small layer below one that takes a while: it does not compress, and it has many files. */
function writeImage(store: TestStore): string {
  const noise = randomBytes(40 * 2 ** 20);
  const many = Array.from({ length: 10_000 }, (_, i) => file(`f${i}`, noise.subarray(i * 4096, (i + 1) * 4096)));
  const layers = [tar(file("base", "base")), tar(...many)];
  const layout = join(store.path, "layout");
  writeFiles(layout, ociFiles([{ layers, reference: "localhost/here:1" }]));
  return layout;
}

const layersOf = (store: TestStore): readonly string[] =>
  existsSync(join(store.root, "layers")) ? readdirSync(join(store.root, "layers")) : [];

test("an import that was killed goes on where it was: what is finished is not unpacked again", {
  skip: requires("root"),
}, async () => {
  await using store = temporaryStore();
  const layout = writeImage(store);
  const child = spawn(LAYERCTL, ["--root", store.root, "import", layout], { stdio: "ignore" });
  const exited = once(child, "exit");
  while (layersOf(store).length === 0 && child.exitCode === null) await sleep(2);
  await sleep(50); // the layer's row follows its directory
  child.kill("SIGKILL");
  await exited;
  const [base, ...others] = layersOf(store);
  assert.ok(base);
  assert.deepEqual(others, [], "killed before the second layer was finished");
  const before = statSync(join(store.root, "layers", base, "diff"), { bigint: true });

  assert.match(store.ok("fsck"), /sound/);
  store.ok("import", layout);
  const after = statSync(join(store.root, "layers", base, "diff"), { bigint: true });
  assert.deepEqual([after.ino, after.ctimeNs], [before.ino, before.ctimeNs]);
  store.ok("gc");
  assert.deepEqual(readdirSync(join(store.root, "tmp")), []);
  assert.match(store.ok("fsck", "--deep"), /2 layers, 1 images.*sound/);
});

test("two imports of one image at a time both succeed, and each layer is unpacked once", {
  skip: requires("root"),
}, async () => {
  await using store = temporaryStore();
  const layout = writeImage(store);
  const started = [1, 2].map((number) =>
    spawn(LAYERCTL, ["--root", store.root, "import", layout, "--name", `localhost/name:${number}`], {
      stdio: "ignore",
    }),
  );
  const codes = await Promise.all(started.map(async (child) => (await once(child, "exit"))[0]));
  assert.deepEqual(codes, [0, 0]);
  assert.equal(layersOf(store).length, 2);
  assert.deepEqual(readdirSync(join(store.root, "tmp")), []);
  assert.match(store.ok("fsck", "--deep"), /2 layers, 1 images.*sound/);
});
