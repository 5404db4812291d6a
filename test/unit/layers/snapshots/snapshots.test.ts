import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import test from "node:test";
import { lowerdirsOf } from "../../../../layers/image.ts";
import { getSnapshot, listSnapshots, prepare, removeSnapshot } from "../../../../layers/snapshots/snapshots.ts";
import { Store } from "../../../../layers/store.ts";
import { ConflictError, NotFoundError } from "../../../../src/errors.ts";
import { getMount, insertMount } from "../../../../src/meta/mounts.ts";
import { bytesOf, type HostPath, joinHost } from "../../../../src/paths.ts";
import { getXattr, setXattr } from "../../../../src/sys/xattr.ts";
import { requires } from "../../../helpers/requires.ts";
import { addStoredImage } from "../../../helpers/stored-image.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

const IMAGE = { layers: ["a", "b"], references: ["debian:12"], unpack: true };

test("an active snapshot has an upperdir, a workdir and a mountpoint, a view only the last", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, IMAGE);
  const active = await prepare(store, { image, name: "one", view: false, reference: "debian:12", options: "index=on" });
  const view = await prepare(store, { image, view: true });
  for (const path of [active.upperdir, active.workdir, active.merged, view.merged]) {
    assert.ok(path !== null && existsSync(bytesOf(path)));
  }
  assert.deepEqual([view.upperdir, view.workdir, view.kind], [null, null, "view"]);
  assert.deepEqual(getSnapshot(store, "one"), active);
  assert.deepEqual([active.parent, active.image, active.options], [image.topChain, image.digest, "index=on"]);
  assert.match(view.name, /^debian-[0-9a-f]{4}$/);
  assert.deepEqual(
    listSnapshots(store).map((snapshot) => snapshot.name),
    ["one", view.name],
  );
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
});

test("a name that is taken, malformed or of nothing is refused, and nothing stays behind", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, IMAGE);
  await prepare(store, { image, name: "one", view: false });
  await assert.rejects(prepare(store, { image, name: "one", view: true }), { code: "ERR_SNAPSHOT_EXISTS" });
  for (const name of ["", "-a", "a/b", "..", "a b", "x".repeat(129)]) {
    await assert.rejects(prepare(store, { image, name, view: true }), { code: "ERR_SNAPSHOT_NAME" });
  }
  assert.throws(
    () => getSnapshot(store, "ona"),
    (error) => error instanceof NotFoundError && error.message.includes('"one"'),
  );
  assert.equal(readdirSync(bytesOf(store.layout.snapshots)).length, 1);
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
});

test("the upperdir's root has the owner, mode, times and attributes of the topmost layer's", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, IMAGE);
  const [top] = lowerdirsOf(store, image);
  assert.ok(top);
  chownSync(bytesOf(top), 12, 34);
  chmodSync(bytesOf(top), 0o2751);
  setXattr(top, "user.note", Buffer.from("kept"));
  setXattr(top, "trusted.overlay.opaque", Buffer.from("y"));
  setXattr(top, "trusted.overlay.overlay.origin", Buffer.from("nested"));
  utimesSync(bytesOf(top), 1000, 2000);
  const { upperdir } = await prepare(store, { image, view: false });
  assert.ok(upperdir);
  const stat = statSync(bytesOf(upperdir));
  assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o7777, stat.mtimeMs], [12, 34, 0o2751, 2_000_000]);
  assert.equal(getXattr(upperdir, "user.note")?.toString(), "kept");
  assert.equal(getXattr(upperdir, "trusted.overlay.opaque"), null);
  assert.equal(getXattr(upperdir, "trusted.overlay.overlay.origin")?.toString(), "nested");
});

test("removing a snapshot removes its row, its directory and the row of a mount that is gone", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, IMAGE);
  const snapshot = await prepare(store, { image, name: "one", view: false });
  const target = directory.host("target");
  insertMount(store.db, {
    snapshot: snapshot.id,
    target,
    backend: "kernel",
    options: "",
    targetMade: false,
    createdAtMs: 1,
  });
  assert.equal(getSnapshot(store, target).name, "one");
  await removeSnapshot(store, "one");
  assert.equal(getMount(store.db, snapshot.id), null);
  assert.deepEqual(listSnapshots(store), []);
  assert.deepEqual(readdirSync(bytesOf(store.layout.snapshots)), []);
  const next = await prepare(store, { image, name: "one", view: false });
  assert.notEqual(next.id, snapshot.id);
});

test("a directory that a dead prepare left behind does not stop the next one", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, IMAGE);
  mkdirSync(`${directory.path}/store/snapshots/1/fs/old`, { recursive: true });
  const { upperdir } = await prepare(store, { image, view: false });
  assert.ok(upperdir);
  assert.deepEqual(readdirSync(bytesOf(upperdir)), []);
});

test("a snapshot that is mounted stays, whoever mounted it and wherever", { skip: requires("overlay") }, async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, IMAGE);
  const { upperdir, workdir, merged } = await prepare(store, { image, name: "one", view: false });
  assert.ok(upperdir !== null && workdir !== null);
  mkdirSync(`${directory.path}/elsewhere`);
  writeFileSync(bytesOf(joinHost(upperdir, "change")), "");
  const options = `lowerdir=${lowerdirsOf(store, image).join(":")},upperdir=${upperdir},workdir=${workdir}`;
  for (const target of [merged, directory.host("elsewhere")] as HostPath[]) {
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, target]);
    try {
      const refused = (error: unknown) => error instanceof ConflictError && error.message.includes(target);
      await assert.rejects(removeSnapshot(store, "one"), refused);
    } finally {
      execFileSync("umount", [target]);
    }
  }
  assert.equal(existsSync(bytesOf(joinHost(upperdir, "change"))), true);
  await removeSnapshot(store, "one");
});
