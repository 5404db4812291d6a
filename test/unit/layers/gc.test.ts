import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createTemporary } from "../../../layers/content/temporary.ts";
import { measureDiskUsage } from "../../../layers/disk-usage.ts";
import { checkStore } from "../../../layers/fsck.ts";
import { collectGarbage } from "../../../layers/gc.ts";
import { lowerdirsOf } from "../../../layers/image.ts";
import { listImages, resolveImage, tagImage } from "../../../layers/images.ts";
import { acquireLock } from "../../../layers/locks.ts";
import { listSnapshots, prepare } from "../../../layers/snapshots/snapshots.ts";
import { Store } from "../../../layers/store.ts";
import { unmount } from "../../../layers/unmount.ts";
import { digestOf } from "../../../src/digest.ts";
import { deleteImage } from "../../../src/meta/images.ts";
import { insertLayer, listLayers } from "../../../src/meta/layers.ts";
import { deleteSnapshot } from "../../../src/meta/snapshots.ts";
import { bytesOf, joinHost } from "../../../src/paths.ts";
import { requires } from "../../helpers/requires.ts";
import { addStoredImage, unpackTexts } from "../../helpers/stored-image.ts";
import { temporaryDirectory } from "../../helpers/temporary.ts";

test("gc keeps what images and snapshots reach, tagged or not", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const one = await addStoredImage(store, { layers: ["a", "b"], references: ["one"], unpack: true });
  const two = await addStoredImage(store, { layers: ["a", "c"], unpack: true });
  const snapshot = await prepare(store, { image: one, view: false });
  await tagImage(store, two, "one"); // leaves the first without a name
  assert.deepEqual((await collectGarbage(store)).removed, []);
  assert.equal(listImages(store).length, 2);
  for (const path of [...lowerdirsOf(store, one), ...lowerdirsOf(store, two), snapshot.merged]) {
    assert.ok(existsSync(bytesOf(path)));
  }
});

test("gc removes layers and blobs of images that are gone, and a dry run tells the same without doing it", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const kept = await addStoredImage(store, { layers: ["a"], references: ["kept"], unpack: true });
  const gone = await addStoredImage(store, { layers: ["a", "bb"], unpack: true });
  deleteImage(store.db, gone.digest);
  const dry = await collectGarbage(store, { dryRun: true });
  assert.deepEqual(
    dry.removed.map((garbage) => garbage.name).sort(),
    [gone.layers[1]?.chainId, gone.digest, gone.configDigest, digestOf("bb")].sort(),
  );
  assert.deepEqual(dry.removed[0], { kind: "layer", name: gone.layers[1]?.chainId, sizeBytes: 2 });
  assert.equal(readdirSync(bytesOf(store.layout.layers)).length, 2);
  assert.deepEqual(await collectGarbage(store), dry);
  assert.equal(readdirSync(bytesOf(store.layout.layers)).length, 1);
  assert.deepEqual((await collectGarbage(store)).removed, []);
  assert.equal(resolveImage(store, "kept").config.os, "linux");
  assert.ok(existsSync(bytesOf(lowerdirsOf(store, kept)[0] ?? "")));
});

test("gc keeps a directory that another layer shares", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const kept = await addStoredImage(store, { layers: ["base", "a"], references: ["kept"] });
  unpackTexts(store, ["a"]);
  unpackTexts(store, ["base"]);
  const [lone] = listLayers(store.db).filter((layer) => layer.diffId === kept.layers[1]?.diffId);
  const chainId = kept.layers[1]?.chainId;
  assert.ok(lone !== undefined && chainId !== undefined);
  insertLayer(store.db, { ...lone, chainId, parent: kept.layers[0]?.chainId ?? null });
  const { removed } = await collectGarbage(store);
  assert.deepEqual(removed, [{ kind: "layer", name: lone.chainId, sizeBytes: 0 }]);
  assert.ok(lowerdirsOf(store, kept).every((lowerdir) => existsSync(bytesOf(lowerdir))));
});

test("gc removes files and directories without a row, and nothing of who is alive", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const { layers, blobs, snapshots, temporary, locks } = store.layout;
  for (const path of [joinHost(layers, "x"), joinHost(snapshots, "7"), joinHost(temporary, "dead\xff")]) {
    mkdirSync(bytesOf(joinHost(path, "deep")), { recursive: true });
    writeFileSync(bytesOf(joinHost(path, "deep", "file")), "x".repeat(5000));
  }
  writeFileSync(bytesOf(joinHost(blobs, "y")), "");
  (await acquireLock(store.layout, "layer-00", "exclusive"))[Symbol.dispose]();
  await using alive = createTemporary(store.layout, "layer");
  const { removed, freedBytes } = await collectGarbage(store);
  assert.deepEqual(
    removed.map(({ kind, name }) => [kind, name]),
    [
      ["layer-directory", "x"],
      ["blob-file", "y"],
      ["snapshot-directory", "7"],
      ["temporary", "dead\\xff"],
    ],
  );
  assert.ok(freedBytes >= 3 * 5000);
  assert.deepEqual(
    [layers, blobs, snapshots, locks].map((path) => readdirSync(bytesOf(path))),
    [[], [], [], ["gc"]],
  );
  assert.deepEqual(readdirSync(bytesOf(temporary)), [alive.path.slice(temporary.length + 1)]);
});

test("gc waits until nobody adds, says so, and can be stopped", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const adding = await acquireLock(store.layout, "gc", "shared");
  await store.blobs.put(Buffer.from("not yet of an image"));
  let waits = 0;
  const onWait = () => (waits += 1);
  await assert.rejects(collectGarbage(store, { signal: AbortSignal.timeout(20), onWait }));
  const collecting = collectGarbage(store, { onWait });
  await addStoredImage(store, { layers: ["not yet of an image"] });
  adding[Symbol.dispose]();
  assert.deepEqual((await collecting).removed, []);
  assert.equal(waits, 2);
});

test("snapshots that another process makes while gc runs are not taken for garbage", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  await addStoredImage(store, { layers: ["a"], references: ["one"], unpack: true });
  const moduleOf = (name: string) => JSON.stringify(new URL(`../../../layers/${name}.ts`, import.meta.url).href);
  const script = `
    import { resolveImage } from ${moduleOf("images")};
    import { prepare } from ${moduleOf("snapshots/snapshots")};
    import { Store } from ${moduleOf("store")};
    using store = Store.open(${JSON.stringify(`${directory.path}/store`)});
    const image = resolveImage(store, "one");
    for (let i = 0; i < 100; i += 1) await prepare(store, { image, view: false });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" });
  const exited = once(child, "exit");
  while (child.exitCode === null) {
    await collectGarbage(store);
    await sleep(1);
  }
  assert.deepEqual(await exited, [0, null]);
  assert.equal(listSnapshots(store).length, 100);
  assert.ok(listSnapshots(store).every((snapshot) => existsSync(bytesOf(snapshot.merged))));
});

/** A snapshot's directory that lost its row, and the overlay options that mount it. */
async function lostSnapshot(store: Store): Promise<{ readonly upperdir: string; readonly options: string }> {
  const image = await addStoredImage(store, { layers: ["a"], references: ["one"], unpack: true });
  const { id, upperdir, workdir } = await prepare(store, { image, view: false });
  assert.ok(upperdir !== null);
  deleteSnapshot(store.db, id);
  return { upperdir, options: `lowerdir=${lowerdirsOf(store, image)[0]},upperdir=${upperdir},workdir=${workdir}` };
}

test("a snapshot directory that lost its row and is mounted stays, and fsck says how it goes", {
  skip: requires("overlay"),
}, async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const { upperdir, options } = await lostSnapshot(store);
  const target = `${directory.path}/target`;
  mkdirSync(target);
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, target]);
  try {
    writeFileSync(`${target}/work`, "of somebody");
    assert.deepEqual((await collectGarbage(store)).removed, []);
    assert.equal(measureDiskUsage(store).leftoverBytes, 0);
    const [finding] = (await checkStore(store)).findings;
    assert.match(finding?.message ?? "", /no snapshot has it, but it is mounted at ".*\/target"/);
    assert.match(finding?.advice ?? "", /"layerctl umount .*\/target" and "layerctl gc" remove it/);
    assert.ok(existsSync(upperdir));
    await unmount(store, target); // as it says
  } finally {
    spawnSync("umount", ["-q", target]);
  }
  assert.equal((await collectGarbage(store)).removed[0]?.kind, "snapshot-directory");
});

test("a snapshot directory that lost its row and is mounted in another mount namespace stays too", {
  skip: requires("overlay", "program:unshare"),
}, async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const { upperdir, options } = await lostSnapshot(store);
  const target = `${directory.path}/target`;
  mkdirSync(target);
  const script = 'mount -t overlay overlay -o "$1" "$2" && echo ready && read -r _';
  const child = spawn("unshare", ["-m", "sh", "-c", script, "sh", options, target], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  try {
    await once(child.stdout, "data");
    assert.deepEqual((await collectGarbage(store)).removed, []);
    const [finding] = (await checkStore(store)).findings;
    assert.match(finding?.message ?? "", new RegExp(`in the mount namespace of process ${child.pid}`));
    assert.ok(existsSync(upperdir));
  } finally {
    child.stdin.end();
    await exited;
  }
  assert.equal((await collectGarbage(store)).removed[0]?.kind, "snapshot-directory");
});
