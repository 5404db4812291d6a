import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { liveMounts } from "../../layers/live-mounts.ts";
import { listMounts, mountImage, mountSnapshot } from "../../layers/mounts.ts";
import { getSnapshot, removeSnapshot } from "../../layers/snapshots/snapshots.ts";
import { Store } from "../../layers/store.ts";
import { unmount } from "../../layers/unmount.ts";
import { getMount } from "../../src/meta/mounts.ts";
import { findMount } from "../../src/mount/mount-info.ts";
import { otherMountTables } from "../../src/mount/mount-namespaces.ts";
import { hostPath } from "../../src/paths.ts";
import { umount } from "../../src/sys/mount.ts";
import { withStore } from "../helpers/mount-scene.ts";
import { requires } from "../helpers/requires.ts";
import { addStoredImage } from "../helpers/stored-image.ts";

const skip = requires("root");

test("what was mounted over a snapshot's mount, or over a directory above it, is not taken for it", {
  skip,
}, async () => {
  await withStore(async ({ store, directory }) => {
    const above = join(directory.path, "above");
    mkdirSync(above);
    const { target } = await mountImage(store, "debian:12", { name: "one", target: join(above, "target") });
    for (const hidden of [target, hostPath(above)]) {
      execFileSync("mount", ["-t", "tmpfs", "over", hidden]);
      await assert.rejects(unmount(store, "one"), { code: "ERR_MOUNT_HIDDEN" });
      assert.equal(findMount(hidden)?.source, "over");
      umount(hidden);
    }
    await unmount(store, "one");
    assert.deepEqual(liveMounts(store), []);
  });
});

test("a part of the tree that somebody bound elsewhere stays, and so does the mount", { skip }, async () => {
  await withStore(async ({ store, directory }) => {
    const { target } = await mountImage(store, "debian:12", { name: "one" });
    const bound = directory.host("bound");
    mkdirSync(bound);
    execFileSync("mount", ["--bind", join(target, "etc"), bound]);
    await assert.rejects(unmount(store, "one"), { code: "ERR_MOUNT_IN_USE", message: /"\/etc" of it is mounted at/ });
    assert.notEqual(findMount(bound), null);
    umount(target);
    assert.equal(listMounts(store)[0]?.mount, null, "it is not taken for the snapshot's mount");
    await assert.rejects(removeSnapshot(store, "one"), { code: "ERR_SNAPSHOT_MOUNTED" });
    umount(bound);
    await removeSnapshot(store, "one");
  });
});

test("a mount that is shown at a second place goes from both", { skip }, async () => {
  await withStore(async ({ store, directory }) => {
    for (const name of ["shared", "peer"]) mkdirSync(join(directory.path, name));
    const [shared, peer] = [join(directory.path, "shared"), join(directory.path, "peer")];
    execFileSync("mount", ["-t", "tmpfs", "--make-shared", "shared", shared]);
    execFileSync("mount", ["--bind", shared, peer]);
    await mountImage(store, "debian:12", { name: "one", target: join(shared, "target") });
    assert.equal(liveMounts(store).length, 2);
    await unmount(store, "one");
    assert.deepEqual(liveMounts(store), []);
    assert.equal(getMount(store.db, getSnapshot(store, "one").id), null);
  });
});

test("another store's mount at the same place is not taken for the one that was lost there", { skip }, async () => {
  await withStore(async ({ store, directory }) => {
    const wanted = join(directory.path, "target");
    const { target } = await mountImage(store, "debian:12", { name: "one", target: wanted });
    umount(target);
    using other = Store.open(directory.host("other"));
    await addStoredImage(other, { layers: ["c"], references: ["debian:12"], unpack: true });
    await mountImage(other, "debian:12", { name: "two", target: wanted });
    await assert.rejects(unmount(store, "one"), { code: "ERR_NOT_MOUNTED" });
    assert.equal(listMounts(other)[0]?.mount?.target, target);
    await unmount(other, "two");
  });
});

test("a snapshot that is mounted in another mount namespace only is kept, and is not mounted again", {
  skip,
}, async () => {
  await withStore(async ({ store, events }) => {
    const { snapshot, target } = await mountImage(store, "debian:12", { name: "one" });
    const namespaces = otherMountTables().length;
    const holder = spawn("unshare", ["--mount", "sleep", "60"], { stdio: "ignore" });
    while (otherMountTables().length === namespaces) await sleep(10);
    umount(target);
    assert.equal(listMounts(store)[0]?.mount, null);
    assert.deepEqual(events, [`mount.elsewhere ${target}`]);
    await assert.rejects(unmount(store, "one"), { code: "ERR_NOT_MOUNTED", message: /nsenter/ });
    await assert.rejects(mountSnapshot(store, snapshot), { code: "ERR_SNAPSHOT_MOUNTED", message: /namespace/ });
    await assert.rejects(removeSnapshot(store, "one"), { code: "ERR_SNAPSHOT_MOUNTED", message: /namespace/ });
    holder.kill("SIGKILL");
    await new Promise((resolve) => holder.once("exit", resolve));
    assert.deepEqual([listMounts(store)[0]?.lostFrom, events.pop()], [target, `mount.lost ${target}`]);
    await removeSnapshot(store, "one");
  });
});

test("a snapshot that is removed while it is about to be mounted is not mounted", { skip }, async () => {
  await withStore(async ({ store }) => {
    const { snapshot } = await mountImage(store, "debian:12", { name: "one" });
    await unmount(store, "one");
    const results = await Promise.allSettled([removeSnapshot(store, "one"), mountSnapshot(store, snapshot)]);
    assert.deepEqual(
      results.map((result) => (result.status === "fulfilled" ? "done" : result.reason.code)),
      ["done", "ERR_SNAPSHOT_NOT_FOUND"],
    );
    assert.deepEqual(liveMounts(store), []);
  });
});

test("an empty target is no directory, not the one that the command was started in", { skip }, async () => {
  await withStore(async ({ store }) => {
    await assert.rejects(mountImage(store, "debian:12", { target: "" }), { code: "ERR_TARGET_EMPTY" });
    await assert.rejects(unmount(store, ""), { code: "ERR_SNAPSHOT_NOT_FOUND" });
    await assert.rejects(removeSnapshot(store, ""), { code: "ERR_SNAPSHOT_NOT_FOUND" });
  });
});
