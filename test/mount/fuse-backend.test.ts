/** Mounts by the FUSE server: the same snapshots as the kernel's, in turn with it, and what is done when a server dies. */

import assert from "node:assert/strict";
import { appendFileSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { diffBelow, findSubject } from "../../layers/diff/subject.ts";
import { lowerdirsOf } from "../../layers/image.ts";
import { listMounts, mountImage } from "../../layers/mounts.ts";
import { getSnapshot, removeSnapshot } from "../../layers/snapshots/snapshots.ts";
import { unmount } from "../../layers/unmount.ts";
import { type LogFields, silentLogger } from "../../src/log.ts";
import { type BackendOptions, mountStack } from "../../src/mount/backend.ts";
import { mountOverlay } from "../../src/mount/kernel-overlay.ts";
import { findMount, mountsBelow } from "../../src/mount/mount-info.ts";
import type { MountSpec } from "../../src/mount/mount-spec.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { MNT_DETACH, umount } from "../../src/sys/mount.ts";
import { killServerOf } from "../helpers/fuse-server.ts";
import { type Scene, withStore } from "../helpers/mount-scene.ts";
import { requires } from "../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../helpers/temporary.ts";
import { listTree, writeTree } from "../helpers/tree.ts";

const skip = requires("root", "fuse");
const PATIENCE = { skip, timeout: 60_000 };

async function changesOf({ store }: Scene, name: string): Promise<readonly string[]> {
  return diffBelow(await findSubject(store, name)).changes.map(({ kind, path }) => `${kind} /${path}`);
}

const workdirOf = ({ store }: Scene, name: string): HostPath => getSnapshot(store, name).workdir ?? ("" as HostPath);

test("a snapshot is mounted by FUSE, changed, compared while it is live, and unmounted", PATIENCE, async () => {
  await withStore(async (scene) => {
    const { store, events } = scene;
    const { target, backend } = await mountImage(store, "debian:12", { name: "one", backend: "fuse" });
    assert.equal(backend, "fuse");
    assert.equal(findMount(target)?.type, "fuse.layerctl-fuse");
    assert.deepEqual(
      listMounts(store).map(({ mount }) => [mount?.target, mount?.backend]),
      [[target, "fuse"]],
    );
    rmSync(bytesOf(joinHost(target, "etc/x")));
    writeTree(target, "etc/new=3");
    assert.deepEqual(await changesOf(scene, "one"), ["C /etc", "A /etc/new", "D /etc/x"]);
    await assert.rejects(removeSnapshot(store, "one"), { code: "ERR_SNAPSHOT_MOUNTED" });
    await assert.rejects(mountImage(store, "one"), { code: "ERR_SNAPSHOT_MOUNTED" });
    await unmount(store, "one");
    assert.equal(findMount(target), null);
    await removeSnapshot(store, "one");
    assert.deepEqual(events, []);
  });
});

test("what one backend changed the other goes on with, files with several names too", PATIENCE, async () => {
  await withStore(async (scene) => {
    const { store, image } = scene;
    const [base = "" as HostPath] = lowerdirsOf(store, image).toReversed();
    for (const name of ["a", "b", "c"]) {
      if (name === "a") writeTree(base, "etc/a=1");
      else linkSync(bytesOf(joinHost(base, "etc/a")), bytesOf(joinHost(base, "etc", name)));
    }
    const { target } = await mountImage(store, "debian:12", { name: "one", backend: "fuse" });
    const read = (name: string): string => readFileSync(bytesOf(joinHost(target, "etc", name)), "utf8");
    appendFileSync(bytesOf(joinHost(target, "etc/a")), "2");
    assert.deepEqual([read("a"), read("b")], ["12", "12"]);
    const links = ["C /etc/a", "C /etc/b", "C /etc/c"]; // and not /etc: a copy-up is no change of the directory
    assert.deepEqual(await changesOf(scene, "one"), links);
    await unmount(store, "one");
    assert.deepEqual(await changesOf(scene, "one"), links);

    assert.equal((await mountImage(store, "one")).backend, "kernel");
    assert.deepEqual([read("a"), read("b")], ["12", "12"], "the kernel reads the index");
    rmSync(bytesOf(joinHost(target, "etc/a")));
    appendFileSync(bytesOf(joinHost(target, "etc/b")), "3");
    await unmount(store, "one");

    await mountImage(store, "one", { backend: "fuse" });
    assert.equal(existsSync(bytesOf(joinHost(target, "etc/a"))), false);
    assert.deepEqual([read("b"), read("c")], ["123", "123"]);
    assert.deepEqual(await changesOf(scene, "one"), ["C /etc", "D /etc/a", "C /etc/b", "C /etc/c"]);
  });
});

test(
  "hard links that FUSE changed under userxattr are not left to the kernel, which has no index there",
  PATIENCE,
  async () => {
    await withStore(async (scene) => {
      const { store, image, events } = scene;
      const [base = "" as HostPath] = lowerdirsOf(store, image).toReversed();
      writeTree(base, "etc/a=1");
      linkSync(bytesOf(joinHost(base, "etc/a")), bytesOf(joinHost(base, "etc/b")));
      const options = { userxattr: true };
      const { target } = await mountImage(store, "debian:12", { name: "one", backend: "fuse", options });
      appendFileSync(bytesOf(joinHost(target, "etc/a")), "2");
      await unmount(store, "one");
      assert.deepEqual(await changesOf(scene, "one"), ["C /etc/a", "C /etc/b"]);
      await assert.rejects(mountImage(store, "one", { backend: "kernel" }), {
        code: "ERR_MOUNT_REFUSED",
        message: /hard links/,
      });
      assert.equal((await mountImage(store, "one")).backend, "fuse");
      assert.equal(readFileSync(bytesOf(joinHost(target, "etc/b")), "utf8"), "12");
      assert.deepEqual(events, [`mount.fuse ${target}`]);
    });
  },
);

test("a view and a snapshot that is mounted read-only refuse writes over FUSE too", PATIENCE, async () => {
  await withStore(async ({ store }) => {
    const view = await mountImage(store, "debian:12", { name: "view", readOnly: true, backend: "fuse" });
    assert.match(listTree(view.target), /etc\/x=1 etc\/z=3/);
    const write = (target: HostPath) => () => writeFileSync(bytesOf(joinHost(target, "n")), "");
    assert.throws(write(view.target), { code: "EROFS" });
    assert.deepEqual(
      listMounts(store).map(({ snapshot, mount }) => [snapshot.name, mount?.backend]),
      [["view", "fuse"]],
    );
    await unmount(store, "view");

    const active = await mountImage(store, "debian:12", { name: "active", backend: "fuse" });
    write(active.target)();
    await unmount(store, "active");
    await mountImage(store, "active", { readOnly: true, backend: "fuse" });
    assert.throws(write(active.target), { code: "EROFS" });
    assert.equal(existsSync(bytesOf(joinHost(active.target, "n"))), true);
    await unmount(store, "active");
  });
});

test(
  "after its server was killed a snapshot is shown as not mounted, and can be mounted, unmounted and removed",
  PATIENCE,
  async () => {
    await withStore(async (scene) => {
      const { store, events } = scene;
      const { target } = await mountImage(store, "debian:12", { name: "one", backend: "fuse" });
      writeTree(target, "kept=1");
      await killServerOf(workdirOf(scene, "one"));
      assert.equal(listMounts(store)[0]?.mount, null);
      assert.deepEqual(events.splice(0), [`mount.dead ${target}`, `mount.lost ${target}`]);
      assert.equal(findMount(target), null);

      await mountImage(store, "one", { backend: "fuse" });
      await killServerOf(workdirOf(scene, "one"));
      await mountImage(store, "one", { backend: "fuse" });
      assert.equal(readFileSync(bytesOf(joinHost(target, "kept")), "utf8"), "1");

      await killServerOf(workdirOf(scene, "one"));
      assert.deepEqual(await unmount(store, target), { name: "one", targets: [target] });

      await mountImage(store, "one", { backend: "fuse" });
      await killServerOf(workdirOf(scene, "one"));
      await removeSnapshot(store, "one");
      assert.equal(findMount(target), null);
    });
  },
);

test(
  "a FUSE mount that was made but not recorded is found by its source, unless another user made it",
  PATIENCE,
  async () => {
    await withStore(async ({ store }) => {
      const { snapshot, target } = await mountImage(store, "debian:12", { name: "one", backend: "fuse" });
      store.db.run("DELETE FROM mounts");
      assert.deepEqual(
        listMounts(store).map(({ mount }) => [mount?.target, mount?.backend]),
        [[target, "fuse"]],
      );
      const { liveMounts } = await import("../../layers/live-mounts.ts");
      const table = (uid: number) =>
        `9 1 0:9 / /m rw - fuse.layerctl-fuse ${snapshot.upperdir} rw,user_id=${uid},group_id=0\n`;
      assert.equal(liveMounts(store, table(0)).length, 1);
      assert.equal(liveMounts(store, table(1000)).length, 0);
    });
  },
);

test("what only the kernel can is refused in words, and nothing of the snapshot stays", PATIENCE, async () => {
  await withStore(async ({ store }) => {
    for (const options of [{ nfsExport: true, index: true }, { index: false }]) {
      await assert.rejects(mountImage(store, "debian:12", { backend: "fuse", options }), { code: "ERR_FUSE_OPTION" });
    }
    assert.deepEqual(listMounts(store), []);
  });
});

function specIn(directory: TemporaryDirectory, layers: number, upper: HostPath): MountSpec {
  const lowerdirs = Array.from({ length: layers }, (_, index) => directory.host(`l${index}`));
  for (const [index, lowerdir] of lowerdirs.entries()) writeTree(lowerdir, `f${index}=${index} all=${index}`);
  const [upperdir, workdir, target] = [joinHost(upper, "u"), joinHost(upper, "w"), directory.host("target")];
  for (const path of [upperdir, workdir, target]) mkdirSync(bytesOf(path), { recursive: true });
  return { lowerdirs, upperdir, workdir, target, readOnly: false, options: {} };
}

function optionsFor(spec: MountSpec, more: Partial<BackendOptions> = {}): BackendOptions {
  const source = spec.upperdir ?? spec.target;
  return { backend: "auto", source, notByKernel: null, logger: silentLogger, ...more };
}

async function whileMounted(directory: TemporaryDirectory, action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } finally {
    for (const mount of mountsBelow(directory.host()).toReversed()) umount(mount.target, MNT_DETACH);
  }
}

test(
  "more layers than the kernel takes, and an upperdir that it refuses, are mounted by FUSE, with the reason",
  PATIENCE,
  async () => {
    await using directory = temporaryDirectory();
    await whileMounted(directory, async () => {
      const many = specIn(directory, 501, directory.host());
      const warnings: string[] = [];
      const warn = (event: string, fields?: LogFields): void => {
        warnings.push(`${event}: ${fields?.reason}`);
      };
      assert.equal(await mountStack(many, optionsFor(many, { logger: { ...silentLogger, warn } })), "fuse");
      assert.equal(readFileSync(bytesOf(joinHost(many.target, "all")), "utf8"), "0");
      assert.equal(readFileSync(bytesOf(joinHost(many.target, "f500")), "utf8"), "500");
      umount(many.target);

      const overlay = { ...specIn(directory, 1, directory.host()), target: directory.host("overlay") };
      mkdirSync(bytesOf(overlay.target));
      mountOverlay({ ...overlay, upperdir: directory.host("u"), workdir: directory.host("w") });
      const onOverlay = specIn(directory, 2, overlay.target);
      await assert.rejects(mountStack(onOverlay, optionsFor(onOverlay, { backend: "kernel" })), {
        code: "ERR_MOUNT_REFUSED",
      });
      assert.equal(await mountStack(onOverlay, optionsFor(onOverlay, { logger: { ...silentLogger, warn } })), "fuse");
      writeTree(onOverlay.target, "new=1 all=2");
      assert.equal(readFileSync(bytesOf(joinHost(overlay.target, "u/new")), "utf8"), "1");
      rmSync(bytesOf(joinHost(onOverlay.target, "f0")));
      assert.equal(listTree(onOverlay.target), "all=2 f1=1 new=1");
      umount(onOverlay.target);
      await mountStack(onOverlay, optionsFor(onOverlay, { backend: "fuse" }));
      assert.equal(listTree(onOverlay.target), "all=2 f1=1 new=1", "a whiteout that an overlay can hold");
      writeTree(onOverlay.target, "f0=again");
      assert.equal(listTree(onOverlay.target), "all=2 f0=again f1=1 new=1");
      assert.match(warnings[0] ?? "", /^mount\.fuse: .*501 layers/);
      assert.match(warnings[1] ?? "", /^mount\.fuse: .*refuses.*upperdir/);
    });
  },
);

test("paths with any characters reach the server as they are", PATIENCE, async () => {
  await using directory = temporaryDirectory();
  await whileMounted(directory, async () => {
    const odd = joinHost(directory.host(), 'a:b,c\\d "e"\xff =' as HostPath);
    mkdirSync(bytesOf(odd));
    const inside = { ...directory, host: (...names: readonly string[]) => joinHost(odd, ...names) };
    const spec = specIn(inside, 2, odd);
    await mountStack(spec, optionsFor(spec, { backend: "fuse" }));
    assert.equal(listTree(spec.target), "all=0 f0=0 f1=1");
    assert.equal(findMount(spec.target)?.source, spec.upperdir);
    writeTree(spec.target, "new=1");
    assert.equal(listTree(spec.upperdir ?? odd), "new=1");
  });
});
