import assert from "node:assert/strict";
import { linkSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import test from "node:test";
import { measureDiskUsage } from "../../../layers/disk-usage.ts";
import { treeSize } from "../../../layers/garbage.ts";
import { collectGarbage } from "../../../layers/gc.ts";
import { tagImage } from "../../../layers/images.ts";
import { importSource } from "../../../layers/import.ts";
import { layerTree } from "../../../layers/layout.ts";
import { prepare } from "../../../layers/snapshots/snapshots.ts";
import { Store } from "../../../layers/store.ts";
import type { Digest } from "../../../src/digest.ts";
import { deleteImage } from "../../../src/meta/images.ts";
import { deleteLayer, listLayers } from "../../../src/meta/layers.ts";
import { bytesOf, joinHost } from "../../../src/paths.ts";
import { ociFixture } from "../../helpers/fixture-images.ts";
import { requires } from "../../helpers/requires.ts";
import { addStoredImage } from "../../helpers/stored-image.ts";
import { temporaryDirectory } from "../../helpers/temporary.ts";

test("bytes of layers are shared, exclusive or reclaimable", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  await addStoredImage(store, { layers: ["base", "a"], references: ["one"], unpack: true });
  await addStoredImage(store, { layers: ["base", "bb"], references: ["two"], unpack: true });
  const gone = await addStoredImage(store, { layers: ["base", "ccc"], unpack: true });
  deleteImage(store.db, gone.digest);
  const usage = measureDiskUsage(store);
  assert.deepEqual(
    usage.images.map(({ image, layers }) => [image.references[0], layers]),
    [
      ["docker.io/library/one:latest", { sharedBytes: 4, exclusiveBytes: 1 }],
      ["docker.io/library/two:latest", { sharedBytes: 4, exclusiveBytes: 2 }],
    ],
  );
  assert.deepEqual(usage.layers, { totalBytes: 10, sharedBytes: 4, exclusiveBytes: 3, reclaimableBytes: 3 });
});

test("what du calls reclaimable is what gc then frees", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  await addStoredImage(store, { layers: ["base"], references: ["one"], unpack: true });
  const gone = await addStoredImage(store, { layers: ["base", "ccc"], unpack: true });
  deleteImage(store.db, gone.digest);
  mkdirSync(bytesOf(joinHost(store.layout.temporary, "dead")));
  const before = measureDiskUsage(store);
  const { freedBytes } = await collectGarbage(store);
  assert.equal(before.layers.reclaimableBytes + before.blobs.reclaimableBytes + before.leftoverBytes, freedBytes);
  assert.ok(before.blobs.reclaimableBytes > 3);
  const after = measureDiskUsage(store);
  assert.equal(after.blobs.totalBytes, before.blobs.totalBytes - before.blobs.reclaimableBytes);
  assert.deepEqual([after.blobs.reclaimableBytes, after.layers.reclaimableBytes, after.leftoverBytes], [0, 0, 0]);
});

test("du's reclaimable, gc's dry run and gc tell the same bytes of a real image, with and without its rows", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const imported = await importSource(store, ociFixture("changes", "zstd"), { name: "gone:1" });
  const kept = await addStoredImage(store, { layers: ["kept"], references: ["kept"], unpack: true });
  const whole = measureDiskUsage(store);
  for (const { directory: name, sizeBytes } of listLayers(store.db)) {
    assert.equal(treeSize(layerTree(store.layout, name)).sizeBytes, sizeBytes, name); // files are counted as rows are
  }
  await tagImage(store, kept, "gone:1");
  deleteImage(store.db, imported[0]?.digest as Digest);
  const temporary = joinHost(store.layout.temporary, "import-1-dead");
  mkdirSync(bytesOf(temporary));
  writeFileSync(bytesOf(joinHost(temporary, "data")), Buffer.alloc(5000, 1));
  truncateSync(bytesOf(joinHost(temporary, "data")), 2 ** 40); // a hole takes nothing
  const [, lost] = listLayers(store.db);
  assert.ok(lost !== undefined);
  deleteLayer(store.db, lost.chainId);

  const { layers, blobs, leftoverBytes } = measureDiskUsage(store);
  const reclaimable = layers.reclaimableBytes + blobs.reclaimableBytes + leftoverBytes;
  assert.ok(leftoverBytes >= 5000 && leftoverBytes <= 8192, String(leftoverBytes));
  const dry = await collectGarbage(store, { dryRun: true });
  const { freedBytes } = await collectGarbage(store);
  assert.deepEqual([dry.freedBytes, freedBytes], [reclaimable, reclaimable]);
  const after = measureDiskUsage(store);
  assert.ok(freedBytes >= whole.layers.totalBytes - after.layers.totalBytes + blobs.reclaimableBytes);
  assert.deepEqual([after.layers.reclaimableBytes, after.blobs.reclaimableBytes, after.leftoverBytes], [0, 0, 0]);
});

test("a snapshot's size is that of its changes, hard links once", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["a"], unpack: true });
  const { upperdir } = await prepare(store, { image, name: "work", view: false });
  await prepare(store, { image, name: "look", view: true });
  assert.ok(upperdir);
  const empty = measureDiskUsage(store).snapshots[0]?.sizeBytes ?? Number.NaN;
  writeFileSync(bytesOf(joinHost(upperdir, "file")), Buffer.alloc(100_000, 1));
  linkSync(bytesOf(joinHost(upperdir, "file")), bytesOf(joinHost(upperdir, "again")));
  const [work, look] = measureDiskUsage(store).snapshots;
  const grown = (work?.sizeBytes ?? 0) - empty;
  assert.ok(grown >= 100_000 && grown < 150_000, String(grown));
  assert.deepEqual([work?.snapshot.name, work?.inodes, look?.sizeBytes], ["work", 2, 0]);
});
