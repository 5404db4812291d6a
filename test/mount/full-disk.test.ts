import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { listImages, tagImage } from "../../layers/images.ts";
import { Store } from "../../layers/store.ts";
import { MNT_DETACH, umount } from "../../src/sys/mount.ts";
import { requires } from "../helpers/requires.ts";
import { addStoredImage } from "../helpers/stored-image.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

test("a store on a full disk says that there is no space, and goes on when there is some", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const disk = directory.host("disk");
  mkdirSync(disk);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "disk", disk]);
  try {
    {
      using store = Store.open(directory.host("disk", "store"));
      await addStoredImage(store, { layers: ["a"], references: ["debian:12"] });
    }
    const file = openSync(join(disk, "fill"), "w");
    while (statfsSync(disk).bavail > 0) writeSync(file, Buffer.alloc(4096));
    closeSync(file);
    assert.throws(() => listImages(Store.open(directory.host("disk", "store"))), { code: "ENOSPC" });
    rmSync(join(disk, "fill"));
    using store = Store.open(directory.host("disk", "store"));
    tagImage(store, listImages(store)[0] as never, "other:1");
    assert.equal(listImages(store)[0]?.references.length, 2);
  } finally {
    umount(disk, MNT_DETACH);
  }
});
