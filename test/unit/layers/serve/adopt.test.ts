import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { refuseMounted } from "../../../../layers/fsck/repair.ts";
import { layerDirectoryName, layerTree } from "../../../../layers/layout.ts";
import { Snapshotter } from "../../../../layers/serve/snapshotter.ts";
import { Store } from "../../../../layers/store.ts";
import { type ChainId, type DiffId, digestOf } from "../../../../src/digest.ts";
import { deleteLayer, getLayer, insertLayer } from "../../../../src/meta/layers.ts";
import { bytesOf, hostPath } from "../../../../src/paths.ts";
import { requires } from "../../../helpers/requires.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

const skip = requires("root");
const CHAIN = digestOf("a layer") as string as ChainId;
const LABELS: ReadonlyMap<string, string> = new Map();
const STYLE = { backend: "kernel", options: {}, remapsIds: false } as const;

/** Unpacks the layer into a snapshot, as containerd does, and gives the directory. */
async function unpack(snapshots: Snapshotter, chainId = CHAIN, parent = ""): Promise<string> {
  const key = `extract-1-a ${chainId}`;
  const [mount] = await snapshots.prepare({ key, parent, labels: LABELS });
  const upperdir = mount?.options.find((option) => option.startsWith("upperdir="));
  const directory = upperdir?.slice("upperdir=".length) ?? mount?.source ?? "";
  writeFileSync(join(directory, "file"), "content");
  await snapshots.commit({ key, name: chainId, parent, labels: LABELS });
  return directory;
}

/** The layer in the store, as an import leaves it. */
function addLayer(store: Store): void {
  const directory = layerDirectoryName(CHAIN);
  const tree = layerTree(store.layout, directory);
  mkdirSync(bytesOf(tree), { recursive: true });
  writeFileSync(join(tree, "file"), "content");
  const layer = { chainId: CHAIN, parent: null, diffId: CHAIN as string as DiffId, directory };
  insertLayer(store.db, { ...layer, sizeBytes: 7, inodes: 2, selfContained: true, createdAtMs: 0 });
}

function isLink(path: string): boolean {
  return lstatSync(path).isSymbolicLink();
}

async function until(isSo: () => boolean): Promise<void> {
  for (const began = Date.now(); !isSo(); await sleep(5)) assert.ok(Date.now() - began < 30_000, "not so after 30 s");
}

test("what is unpacked a second time is a link to the store's layer when its commit is answered", {
  skip,
}, async () => {
  await using place = temporaryDirectory();
  using store = Store.open(hostPath(join(place.path, "store")));
  addLayer(store);
  await using snapshots = new Snapshotter(store, "containerd", STYLE);
  assert.ok(isLink(await unpack(snapshots)));
});

test("what lies below a snapshot that may be mounted stays until that goes, whatever the store has", {
  skip,
}, async () => {
  await using place = temporaryDirectory();
  using store = Store.open(hostPath(join(place.path, "store")));
  let directory: string;
  {
    await using snapshots = new Snapshotter(store, "containerd", STYLE);
    directory = await unpack(snapshots);
    await snapshots.prepare({ key: "container", parent: CHAIN, labels: LABELS });
    await until(() => getLayer(store.db, CHAIN) !== null);
  }
  deleteLayer(store.db, CHAIN); // as if an import had been faster than the sync before a layer is taken in
  addLayer(store);
  await using snapshots = new Snapshotter(store, "containerd", STYLE);
  await snapshots.prepare({ key: "another", parent: CHAIN, labels: LABELS });
  await snapshots.remove("container");
  await sleep(50); // for what must not happen
  assert.ok(!isLink(directory));
  assert.equal(readFileSync(join(directory, "file"), "utf8"), "content");
  await snapshots.remove("another");
  await until(() => isLink(directory));
  assert.equal(readFileSync(join(directory, "file"), "utf8"), "content");
});

test("a layer below a snapshot that may be mounted is not repaired", { skip }, async () => {
  await using place = temporaryDirectory();
  using store = Store.open(hostPath(join(place.path, "store")));
  addLayer(store);
  await using snapshots = new Snapshotter(store, "containerd", STYLE);
  await unpack(snapshots);
  const layers = [getLayer(store.db, CHAIN)].filter((layer) => layer !== null);
  refuseMounted(store, layers);
  await snapshots.prepare({ key: "container", parent: CHAIN, labels: LABELS });
  assert.throws(() => refuseMounted(store, layers), {
    code: "ERR_LAYER_MOUNTED",
    message: /containerd has containers/,
  });
  await snapshots.remove("container");
  refuseMounted(store, layers);
});

test("what was unpacked before the machine started is no layer of the store, nor what stands on it", {
  skip,
}, async () => {
  const [upper, other] = [digestOf("on top"), digestOf("another")] as string[] as ChainId[];
  await using place = temporaryDirectory();
  using store = Store.open(hostPath(join(place.path, "store")));
  {
    await using snapshots = new Snapshotter(store, "containerd", STYLE);
    await unpack(snapshots);
    await until(() => getLayer(store.db, CHAIN) !== null);
  }
  deleteLayer(store.db, CHAIN); // as if the power had been cut before it was taken in
  const started = new Date().toISOString();
  writeFileSync(bytesOf(store.layout.heldBoot), JSON.stringify({ id: `before ${started}`, lastBefore: 0 }));
  for (const chainId of [upper, other]) {
    assert.ok(chainId !== undefined);
    await using snapshots = new Snapshotter(store, "containerd", STYLE); // the second finds the first's record
    await unpack(snapshots, chainId, chainId === upper ? CHAIN : "");
    if (chainId === other) await until(() => getLayer(store.db, chainId) !== null);
  }
  assert.deepEqual(
    [CHAIN, upper].map((chainId) => chainId && getLayer(store.db, chainId)),
    [null, null],
  );
});
