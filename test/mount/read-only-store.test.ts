import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkStore } from "../../layers/fsck.ts";
import { collectGarbage } from "../../layers/gc.ts";
import { resolveImage, tagImage } from "../../layers/images.ts";
import { listMounts, mountImage } from "../../layers/mounts.ts";
import { Store } from "../../layers/store.ts";
import { MNT_DETACH, umount } from "../../src/sys/mount.ts";
import { requires } from "../helpers/requires.ts";
import { addStoredImage } from "../helpers/stored-image.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

test("a store on a read-only file system is read, and says so to who wants to change it", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const [disk, root] = [directory.host("disk"), directory.host("disk", "store")];
  mkdirSync(disk);
  execFileSync("mount", ["-t", "tmpfs", "disk", disk]);
  try {
    using writer = Store.open(root);
    await addStoredImage(writer, { layers: ["a"], references: ["debian:12"], unpack: true });
    const { target } = await mountImage(writer, "debian:12", { name: "one" });
    umount(target);
    execFileSync("mount", ["-o", "bind", disk, disk]);
    execFileSync("mount", ["-o", "remount,bind,ro", disk]); // with the write-ahead log of the writer, as after a crash
    assert.ok(statSync(join(root, "layerctl.db-wal")).size > 0);
    using store = Store.open(root);
    assert.equal(resolveImage(store, "debian:12").layers.length, 1);
    assert.deepEqual(
      listMounts(store).map(({ snapshot, mount }) => [snapshot.name, mount]),
      [["one", null]],
    );
    assert.equal((await checkStore(store, { deep: true })).isSound, true);
    await assert.rejects(tagImage(store, resolveImage(store, "debian:12"), "other:1"), { code: "EROFS" });
    await assert.rejects(mountImage(store, "debian:12"), { code: "EROFS" });
    await assert.rejects(collectGarbage(store), { code: "EROFS" });
    assert.deepEqual((await collectGarbage(store, { dryRun: true })).removed, []);
    assert.throws(() => Store.open(directory.host("disk", "new")), { code: "EROFS" });
    assert.equal(existsSync(join(root, "locks", "gc")), false);
  } finally {
    umount(disk, MNT_DETACH);
    umount(disk, MNT_DETACH);
  }
});
