/** Repairs of images that were imported for real, up to the point where they can be mounted again. */

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import { checkStore } from "../../../layers/fsck.ts";
import { type Image, lowerdirsOf } from "../../../layers/image.ts";
import { resolveImage } from "../../../layers/images.ts";
import { importSource } from "../../../layers/import.ts";
import { Store } from "../../../layers/store.ts";
import { ensureUnpacked } from "../../../layers/unpack.ts";
import { bytesOf, joinHost } from "../../../src/paths.ts";
import { ociFiles, writeFiles } from "../../helpers/image-builder.ts";
import { requires } from "../../helpers/requires.ts";
import { directory as dir, file, hardlink, symlink, tar } from "../../helpers/tar-builder.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../helpers/temporary.ts";

const skip = requires("root"); // only root unpacks

const LAYERS = [
  tar(dir("usr/"), dir("usr/lib/"), file("usr/lib/base", "base"), symlink("lib", "usr/lib")),
  tar(file("middle", "middle"), hardlink("linked", "middle")),
  tar(file("lib/moved", "below a lower symlink"), hardlink("copied", "usr/lib/base"), file("empty")),
];

async function importImage(directory: TemporaryDirectory, store: Store): Promise<Image> {
  writeFiles(`${directory.path}/layout`, ociFiles([{ layers: LAYERS, reference: "localhost/test:1" }]));
  await importSource(store, `${directory.path}/layout`);
  return resolveImage(store, "localhost/test:1");
}

test("an imported image is sound, with files that moved below a lower symlink and copies of lower files", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  await importImage(directory, store);
  assert.deepEqual((await checkStore(store, { deep: true })).findings, []);
});

test("a file added to a layer that was finished on others is found", { skip }, async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const [top] = lowerdirsOf(store, await importImage(directory, store));
  assert.ok(top);
  writeFileSync(bytesOf(joinHost(top, "usr/lib/planted")), "below a lower symlink"); // content that the layer has too
  const { findings } = await checkStore(store, { deep: true });
  assert.equal(findings.length, 1);
  assert.match(findings[0]?.message ?? "", /1 added: "usr\/lib\/planted"/);
});

for (const [position, name, path] of [
  [0, "top", "usr/lib/moved"],
  [1, "middle", "middle"],
  [2, "base", "usr/lib/base"],
] as const) {
  test(`a ${name} layer that was changed on disk is unpacked again after a repair`, { skip }, async () => {
    await using directory = temporaryDirectory();
    using store = Store.open(directory.host("store"));
    const image = await importImage(directory, store);
    const changed = joinHost(lowerdirsOf(store, image)[position] ?? store.layout.empty, path);
    const content = readFileSync(bytesOf(changed), "utf8");
    writeFileSync(bytesOf(changed), "tampered with");
    const { findings, isSound } = await checkStore(store, { deep: true, repair: true });
    assert.deepEqual([findings.length, isSound], [1, true]);
    assert.throws(() => lowerdirsOf(store, image), { code: "ERR_LAYER_NOT_UNPACKED" });
    await ensureUnpacked(store, image.layers);
    const lowerdirs = lowerdirsOf(store, image);
    assert.ok(lowerdirs.every((lowerdir) => existsSync(bytesOf(lowerdir))));
    assert.equal(readFileSync(bytesOf(joinHost(lowerdirs[position] ?? store.layout.empty, path)), "utf8"), content);
    assert.deepEqual((await checkStore(store, { deep: true })).findings, []);
  });
}

test("importing an image again brings back a blob that a repair took away", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await importImage(directory, store);
  for (const { descriptor } of image.layers) writeFileSync(bytesOf(store.blobs.path(descriptor.digest)), "gone");
  assert.equal((await checkStore(store, { repair: true })).isSound, false);
  await importImage(directory, store);
  assert.deepEqual((await checkStore(store, { deep: true })).findings, []);
});
