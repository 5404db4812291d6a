import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { lowerdirsOf } from "../../layers/image.ts";
import { liveMounts, repairMounts } from "../../layers/live-mounts.ts";
import { listMounts, mountImage, mountSnapshot } from "../../layers/mounts.ts";
import { getSnapshot, listSnapshots, removeSnapshot } from "../../layers/snapshots/snapshots.ts";
import { Store } from "../../layers/store.ts";
import { unmount } from "../../layers/unmount.ts";
import { ConflictError } from "../../src/errors.ts";
import { deleteMount } from "../../src/meta/mounts.ts";
import { findMount } from "../../src/mount/mount-info.ts";
import { hasVolatileMark } from "../../src/overlay/volatile-mark.ts";
import { bytesOf, type HostPath, hostPath } from "../../src/paths.ts";
import { umount } from "../../src/sys/mount.ts";
import { withStore } from "../helpers/mount-scene.ts";
import { requires } from "../helpers/requires.ts";
import { addStoredImage } from "../helpers/stored-image.ts";
import { listTree, writeTree } from "../helpers/tree.ts";

const skip = requires("root");
const text = (path: HostPath): string => bytesOf(path).toString();

function etcOf(target: HostPath): string {
  return listTree(`${target}/etc` as HostPath);
}

test("an image is mounted in the store, changed, unmounted, and continued with its changes", { skip }, async () => {
  await withStore(async ({ store, image }) => {
    const { snapshot, target, backend } = await mountImage(store, "debian:12", { name: "work" });
    assert.equal(backend, "kernel");
    assert.equal(target, snapshot.merged);
    assert.equal(etcOf(target), "x=1 z=3");
    writeTree(target, "etc/new=4");
    assert.deepEqual(await unmount(store, "work"), { name: "work", targets: [target] });
    assert.equal(findMount(target), null);
    assert.equal(listTree(snapshot.upperdir as HostPath), "etc/ etc/new=4");
    for (const again of [() => mountImage(store, "work"), () => mountImage(store, image.digest, { name: "work" })]) {
      const mounted = await again();
      assert.equal(mounted.snapshot.id, snapshot.id);
      assert.equal(etcOf(mounted.target), "new=4 x=1 z=3");
      await unmount(store, text(mounted.target));
    }
  });
});

test("a read-only mount is a view: it refuses writes, also when it is continued", { skip }, async () => {
  await withStore(async ({ store }) => {
    for (const _ of [1, 2]) {
      const { snapshot, target } = await mountImage(store, "debian:12", { name: "look", readOnly: true });
      assert.equal(snapshot.kind, "view");
      assert.throws(() => writeTree(target, "etc/new=4"), { code: "EROFS" });
      assert.equal(etcOf(target), "x=1 z=3");
      await unmount(store, "look");
    }
  });
});

test("a view of a single layer and one of none are mounted too", { skip }, async () => {
  await withStore(async ({ store }) => {
    await addStoredImage(store, { layers: ["only"], references: ["single:1"], unpack: true });
    await addStoredImage(store, { layers: [], references: ["scratch:1"], unpack: true });
    for (const reference of ["single:1", "scratch:1"]) {
      for (const readOnly of [true, false]) {
        const { snapshot, target } = await mountImage(store, reference, { readOnly });
        assert.deepEqual(
          liveMounts(store).map(({ snapshot, target }) => ({ snapshot, target })),
          [{ snapshot: snapshot.id, target }],
        );
        await unmount(store, snapshot.name);
      }
    }
  });
});

test("a target is made if its parent exists, and only what was made is removed", { skip }, async () => {
  await withStore(async ({ store, directory }) => {
    const made = join(directory.path, "made");
    const { target } = await mountImage(store, "debian:12", { name: "one", target: made });
    assert.equal(target, hostPath(made));
    await unmount(store, made);
    assert.equal(existsSync(made), false);
    const there = join(directory.path, "there");
    mkdirSync(there);
    symlinkSync(there, join(directory.path, "link"));
    await mountImage(store, "one", { target: join(directory.path, "link") });
    assert.notEqual(findMount(hostPath(there)), null, "the link is resolved");
    await unmount(store, join(directory.path, "link"));
    assert.equal(existsSync(there), true);
  });
});

test("unfit targets are refused, and no snapshot stays behind", { skip }, async () => {
  await withStore(async ({ store, directory }) => {
    writeFileSync(join(directory.path, "file"), "");
    mkdirSync(join(directory.path, "store", "layers", "x"));
    const refused: readonly (readonly [string, string])[] = [
      ["none/below", "ERR_TARGET_PARENT"],
      ["file", "ERR_TARGET_TYPE"],
      ["file/below", "ERR_TARGET_PARENT"],
      ["store", "ERR_TARGET_IN_STORE"],
      ["store/layers/x", "ERR_TARGET_IN_STORE"],
      ["store/layers/new", "ERR_TARGET_IN_STORE"],
      [".", "ERR_TARGET_IN_STORE"],
      ["/", "ERR_TARGET_IN_STORE"],
    ];
    for (const [target, code] of refused) {
      const path = target.startsWith("/") ? target : join(directory.path, target);
      await assert.rejects(mountImage(store, "debian:12", { target: path }), { code }, target);
    }
    assert.deepEqual(listSnapshots(store), []);
    const busy = join(directory.path, "busy");
    await mountImage(store, "debian:12", { name: "one", target: busy });
    await assert.rejects(mountImage(store, "debian:12", { target: busy }), { code: "ERR_TARGET_MOUNTED" });
    assert.equal(listSnapshots(store).length, 1);
    await unmount(store, "one");
  });
});

test("a snapshot is mounted once, is not taken for another image's, and is not removed while mounted", {
  skip,
}, async () => {
  await withStore(async ({ store }) => {
    await addStoredImage(store, { layers: ["other"], references: ["other:1"], unpack: true });
    const { target } = await mountImage(store, "debian:12", { name: "one" });
    await assert.rejects(mountImage(store, "one"), (error) => {
      return error instanceof ConflictError && error.code === "ERR_SNAPSHOT_MOUNTED" && error.message.includes(target);
    });
    await assert.rejects(mountImage(store, "other:1", { name: "one" }), { code: "ERR_SNAPSHOT_EXISTS" });
    await assert.rejects(mountImage(store, "one", { name: "two" }), {
      code: "ERR_SNAPSHOT_RENAME",
      message:
        'Cannot mount snapshot "one" as "two": it keeps its name; mount it without --name, or mount "debian:12" as "two" for another snapshot',
    });
    await addStoredImage(store, { layers: ["other"], references: ["one"], unpack: true });
    assert.equal((await mountImage(store, "one", { name: "two" })).snapshot.name, "two"); // an image is called so too
    await assert.rejects(removeSnapshot(store, "one"), { code: "ERR_SNAPSHOT_MOUNTED" });
    await unmount(store, "one");
    await assert.rejects(unmount(store, "one"), { code: "ERR_NOT_MOUNTED" });
    await assert.rejects(unmount(store, "none"), { code: "ERR_SNAPSHOT_NOT_FOUND" });
    await removeSnapshot(store, "one");
  });
});

test("of two mounts of one snapshot at once only one succeeds", { skip }, async () => {
  await withStore(async ({ store }) => {
    const { snapshot } = await mountImage(store, "debian:12", { name: "one" });
    await unmount(store, "one");
    const both = await Promise.allSettled([mountSnapshot(store, snapshot), mountSnapshot(store, snapshot)]);
    assert.deepEqual(both.map((each) => each.status).sort(), ["fulfilled", "rejected"]);
    assert.equal(liveMounts(store).length, 1);
    await unmount(store, "one");
  });
});

test("a mount in use is refused with the process that uses it, and with what is mounted below", { skip }, async () => {
  await withStore(async ({ store }) => {
    const { target } = await mountImage(store, "debian:12", { name: "one" });
    const child = spawn("sleep", ["60"], { cwd: text(target), stdio: "ignore" });
    try {
      await assert.rejects(unmount(store, "one"), (error) => {
        return (
          error instanceof ConflictError &&
          error.code === "ERR_MOUNT_IN_USE" &&
          error.message.includes(`process ${child.pid} (sleep)`)
        );
      });
    } finally {
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
    }
    mkdirSync(bytesOf(`${target}/below`));
    await mountImage(store, "debian:12", { name: "two", target: `${text(target)}/below` }).then(
      () => assert.fail("a target inside the store's own mountpoint is inside the store"),
      (error) => assert.equal(error.code, "ERR_TARGET_IN_STORE"),
    );
    await unmount(store, "one");
  });
});

test("a mount that somebody took away is noticed, told once and forgotten", { skip }, async () => {
  await withStore(async ({ store, directory, events }) => {
    const made = join(directory.path, "made");
    const { target } = await mountImage(store, "debian:12", { name: "one", target: made });
    umount(target);
    const [first] = listMounts(store);
    assert.deepEqual([first?.mount, first?.lostFrom], [null, target]);
    assert.deepEqual(events, [`mount.lost ${target}`]);
    assert.equal(listMounts(store)[0]?.lostFrom, null);
    assert.equal(existsSync(made), false, "the target that was made for it goes too");
    const again = await mountImage(store, "one");
    umount(again.target);
    assert.equal(etcOf((await mountImage(store, "one")).target), "x=1 z=3", "mounted again over a stale row");
    await unmount(store, "one");
  });
});

test("a mount whose record was lost in a crash is found by the kernel's table and recorded", { skip }, async () => {
  await withStore(async ({ store, directory, events }) => {
    for (const readOnly of [false, true]) {
      const wanted = join(directory.path, "target");
      const { snapshot, target } = await mountImage(store, "debian:12", { readOnly, target: wanted });
      deleteMount(store.db, snapshot.id);
      const found = listMounts(store).find((each) => each.snapshot.id === snapshot.id);
      assert.equal(found?.mount?.target, target);
      assert.equal(events.pop(), `mount.adopted ${target}`);
      deleteMount(store.db, snapshot.id);
      await assert.rejects(removeSnapshot(store, snapshot.name), { code: "ERR_SNAPSHOT_MOUNTED" });
      await unmount(store, text(target));
      assert.deepEqual(repairMounts(store), { lost: [], adopted: [], strays: [], elsewhere: [] });
    }
  });
});

test("after a clean unmount a volatile mount can go on, after a crash only if the user says so", { skip }, async () => {
  await withStore(async ({ store }) => {
    const { snapshot, target } = await mountImage(store, "debian:12", { name: "one", options: { volatile: true } });
    await unmount(store, "one");
    assert.equal(hasVolatileMark(snapshot.workdir as HostPath), false);
    await mountImage(store, "one", { options: { volatile: true } });
    umount(target); // as a power cut would
    await assert.rejects(mountImage(store, "one", { options: {} }), { code: "ERR_VOLATILE_MARK" });
    await assert.rejects(
      mountImage(store, "one"),
      { code: "ERR_VOLATILE_MARK" },
      "not by the options it was made with",
    );
    await mountImage(store, "one", { options: { volatile: true } });
    await unmount(store, "one");
    await mountImage(store, "one", { options: {} });
    await unmount(store, "one");
  });
});

test("userxattr is refused where a layer has an opaque directory, and a snapshot keeps to it", { skip }, async () => {
  await withStore(async ({ store, image }) => {
    const { target } = await mountImage(store, "debian:12", { name: "user", options: { userxattr: true } });
    assert.equal(etcOf(target), "x=1 z=3");
    await unmount(store, "user");
    await assert.rejects(mountImage(store, "user", { options: {} }), { code: "ERR_MOUNT_OPTION_CONFLICT" });
    const [top = "" as HostPath] = lowerdirsOf(store, image);
    writeTree(top, "deep/er/!");
    await assert.rejects(mountImage(store, "user"), { code: "ERR_USERXATTR_OPAQUE", message: /"deep\/er"/ });
  });
});

test("a store that is reached through a symbolic link finds its mounts again", { skip }, async () => {
  await withStore(async ({ store, directory, events }) => {
    symlinkSync(text(store.layout.root), join(directory.path, "link"));
    using linked = Store.open(directory.host("link"), { logger: store.logger });
    const { snapshot, target } = await mountImage(linked, "debian:12", { name: "one" });
    for (const each of [store, linked]) assert.equal(listMounts(each)[0]?.mount?.target, target);
    await assert.rejects(removeSnapshot(linked, "one"), { code: "ERR_SNAPSHOT_MOUNTED" });
    await assert.rejects(mountSnapshot(store, snapshot), { code: "ERR_SNAPSHOT_MOUNTED" });
    await unmount(linked, "one");
    assert.deepEqual(events, []);
  });
});

test("conflicting options are refused before anything is made", { skip }, async () => {
  await withStore(async ({ store }) => {
    const options = { metacopy: true, userxattr: true };
    await assert.rejects(mountImage(store, "debian:12", { options }), { code: "ERR_MOUNT_OPTION_CONFLICT" });
    assert.deepEqual(readdirSync(bytesOf(store.layout.snapshots)), []);
    assert.throws(() => getSnapshot(store, "debian:12"), { code: "ERR_SNAPSHOT_NOT_FOUND" });
  });
});

test("a snapshot that was made without the files of --init is not mounted as if it had them", { skip }, async () => {
  await withStore(async ({ store }) => {
    for (const [name, init] of [
      ["plain", false],
      ["stubs", true],
    ] as const) {
      await mountImage(store, "debian:12", { name, init });
      await unmount(store, name);
    }
    await assert.rejects(mountImage(store, "plain", { init: true }), { code: "ERR_SNAPSHOT_INIT", exitCode: 4 });
    await mountImage(store, "stubs", { init: true });
    await mountImage(store, "plain");
  });
});
