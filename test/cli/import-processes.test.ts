/** Imports that are killed, and imports that run at the same time. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Store } from "../../layers/store.ts";
import { listLayers } from "../../src/meta/layers.ts";
import type { HostPath } from "../../src/paths.ts";
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
  using opened = Store.open(store.root as HostPath);
  while (listLayers(opened.db).length === 0 && child.exitCode === null) await sleep(2); // the row follows the directory
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

test("an import fails if the disk does while nothing is made permanent yet, and leaves nothing", {
  skip: requires("root", "program:strace"),
}, async () => {
  await using store = temporaryStore();
  const layout = writeImage(store);
  const [calls, fault] = [join(store.path, "calls"), "inject=syncfs:error=EIO:when=1"];
  const command = ["-f", "-e", "trace=syncfs", "-e", fault, "-o", calls, LAYERCTL, "--root", store.root];
  const { status, stderr } = spawnSync("strace", [...command, "import", layout], { encoding: "utf8" });
  assert.equal(status, 7, stderr);
  assert.match(stderr, /Cannot syncfs ".*\/store": i\/o error/);
  assert.deepEqual([layersOf(store), readdirSync(join(store.root, "tmp"))], [[], []]);
  assert.match(store.ok("fsck"), /^checked 0 blobs, 0 layers, 0 images, .*sound/);
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
