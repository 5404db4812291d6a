import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { collectGarbage } from "../../layers/gc.ts";
import { listImages, tagImage, untagImages } from "../../layers/images.ts";
import { mountImage } from "../../layers/mounts.ts";
import { removeSnapshot } from "../../layers/snapshots/snapshots.ts";
import { Store } from "../../layers/store.ts";
import { unmount } from "../../layers/unmount.ts";
import { listLayers } from "../../src/meta/layers.ts";
import { hostPath } from "../../src/paths.ts";
import { requires } from "../helpers/requires.ts";
import { type DiskKind, type SmallDisk, smallDisk } from "../helpers/small-disk.ts";
import { addStoredImage, unpackTexts } from "../helpers/stored-image.ts";

const storeOn = (disk: SmallDisk): Store => Store.open(hostPath(join(disk.path, "store")));

const openOn = (disk: SmallDisk): Store => Store.open(hostPath(join(disk.path, "store")), { create: false });

/** Nothing of the database is left open, so that the next one to open it needs room for its log. */
function isClosed(disk: SmallDisk): boolean {
  return !readdirSync(join(disk.path, "store")).includes("layerctl.db-shm");
}

for (const kind of ["tmpfs", "ext4"] satisfies DiskKind[]) {
  const skip = requires("root", "overlay", ...(kind === "ext4" ? (["program:mkfs.ext4"] as const) : []));

  for (const what of ["space", "inodes"] as const) {
    test(`with no ${what} left on ${kind}, gc frees what a killed import left, rows too`, { skip }, async () => {
      await using disk = smallDisk(kind);
      {
        using store = storeOn(disk);
        await addStoredImage(store, { layers: ["a"], references: ["debian:12"], unpack: true });
        unpackTexts(store, ["no image has it"]);
        const left = join(disk.path, "store", "tmp", "import-1-dead");
        mkdirSync(left);
        writeFileSync(join(left, "data"), Buffer.alloc(1 << 20, 1));
      }
      assert.ok(isClosed(disk));
      if (what === "space") disk.fill();
      else disk.takeInodes();
      {
        using store = openOn(disk);
        assert.equal(listImages(store).length, 1); // who looks gives the space back
      }
      {
        using store = openOn(disk);
        const { removed } = await collectGarbage(store);
        assert.deepEqual(
          removed.map((garbage) => garbage.kind),
          ["layer", "temporary"],
        );
        assert.equal(listLayers(store.db).length, 1);
      }
      assert.ok(isClosed(disk));
      assert.equal(readdirSync(join(disk.path, "store", "reserve")).length, 8);
    });
  }

  test(`with no space left on ${kind}, snapshots are unmounted and removed, then images`, { skip }, async () => {
    await using disk = smallDisk(kind);
    {
      using store = storeOn(disk);
      await addStoredImage(store, { layers: ["a"], references: ["debian:12"], unpack: true });
      await mountImage(store, "debian:12", { name: "work" });
    }
    for (const remove of [
      async (store: Store) => await unmount(store, "work"),
      async (store: Store) => await removeSnapshot(store, "work"),
      async (store: Store) => await untagImages(store, ["debian:12"]),
    ]) {
      assert.ok(isClosed(disk));
      disk.fill();
      using store = openOn(disk);
      await remove(store);
    }
    using store = openOn(disk);
    assert.deepEqual([listImages(store), listLayers(store.db)], [[], []]);
  });
}

test("a store whose reserve is gone too says that there is no space, and goes on when there is some", {
  skip: requires("root"),
}, async () => {
  await using disk = smallDisk("tmpfs");
  {
    using store = storeOn(disk);
    await addStoredImage(store, { layers: ["a"], references: ["debian:12"] });
  }
  rmSync(join(disk.path, "store", "reserve"), { recursive: true });
  disk.fill();
  assert.throws(() => openOn(disk), { code: "ENOSPC" });
  rmSync(join(disk.path, "fill-1"));
  using store = storeOn(disk);
  await tagImage(store, listImages(store)[0] as never, "other:1");
  assert.equal(listImages(store)[0]?.references.length, 2);
  assert.equal(readdirSync(join(disk.path, "store", "reserve")).length, 8);
});
