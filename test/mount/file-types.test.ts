import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Store } from "../../layers/store.ts";
import { probeHost } from "../../src/mount/probe.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import { MNT_DETACH, umount } from "../../src/sys/mount.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

test("a file system without types in its listings is listed, reported, and refused for a store", {
  skip: requires("root", "program:mkfs.ext4"),
}, async () => {
  await using directory = temporaryDirectory();
  const [image, disk] = [join(directory.path, "image"), directory.host("disk")];
  mkdirSync(disk);
  execFileSync("/sbin/mkfs.ext4", ["-q", "-O", "^filetype", image, "16M"], { stdio: "ignore" });
  execFileSync("mount", ["-o", "loop", image, disk]);
  try {
    writeFileSync(join(disk, "file"), "");
    symlinkSync("nowhere", join(disk, "link"));
    assert.deepEqual(listDirectory(disk), [
      { name: "file", kind: "file" },
      { name: "link", kind: "symlink" },
      { name: "lost+found", kind: "directory" },
    ]);
    const types = probeHost(disk).find((check) => check.name === "file types in listings");
    assert.equal(types?.works, false);
    assert.throws(() => Store.open(directory.host("disk", "store")), { code: "ERR_NO_FILE_TYPES" });
  } finally {
    umount(disk, MNT_DETACH);
  }
});
