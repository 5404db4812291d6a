import assert from "node:assert/strict";
import test from "node:test";
import { type ChainId, type DiffId, digestOf } from "../../../../src/digest.ts";
import { type Database, openDatabase } from "../../../../src/meta/database.ts";
import { deleteImage, insertImage } from "../../../../src/meta/images.ts";
import {
  deleteLayer,
  findSelfContained,
  getLayer,
  insertLayer,
  isDirectoryUsed,
  type LayerRow,
  listLayers,
} from "../../../../src/meta/layers.ts";
import { getMountAt, insertMount, listMountRows } from "../../../../src/meta/mounts.ts";
import { listUnreachableLayers } from "../../../../src/meta/reachability.ts";
import { setRef } from "../../../../src/meta/refs.ts";
import { deleteSnapshot, insertSnapshot } from "../../../../src/meta/snapshots.ts";
import type { HostPath } from "../../../../src/paths.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

const chain = (text: string): ChainId => digestOf(`chain ${text}`) as ChainId;
const diff = (text: string): DiffId => digestOf(`diff ${text}`) as DiffId;

function layer(text: string, parent: string | null, overrides: Partial<LayerRow> = {}): LayerRow {
  return {
    chainId: chain(text),
    parent: parent === null ? null : chain(parent),
    diffId: diff(text),
    directory: text,
    sizeBytes: 2 ** 40,
    inodes: 7,
    selfContained: true,
    createdAtMs: 1,
    ...overrides,
  };
}

function addSnapshot(db: Database, name: string, parent: ChainId | null): number {
  const times = { createdAtMs: 1, updatedAtMs: 2 };
  const labels = { "containerd.io/snapshot.ref": "x" };
  return insertSnapshot(db, {
    name,
    kind: "active",
    parent,
    image: null,
    reference: null,
    ...times,
    labels,
    options: "",
  }).id;
}

test("a layer's row comes back as it was, and the first one of a chainID stays", async () => {
  await using directory = temporaryDirectory();
  using db = openDatabase(directory.host("store.db"));
  const row = layer("a", "base");
  insertLayer(db, row);
  insertLayer(db, { ...row, directory: "other" });
  assert.deepEqual(listLayers(db), [row]);
  deleteLayer(db, row.chainId);
  assert.equal(getLayer(db, row.chainId), null);
});

test("only a layer that needs nothing of those below it is found by its content", async () => {
  await using directory = temporaryDirectory();
  using db = openDatabase(directory.host("store.db"));
  insertLayer(db, layer("a", null, { selfContained: false }));
  assert.equal(findSelfContained(db, diff("a")), null);
  insertLayer(db, layer("b", null, { diffId: diff("a") }));
  assert.equal(findSelfContained(db, diff("a"))?.directory, "b");
  assert.deepEqual([isDirectoryUsed(db, "b"), isDirectoryUsed(db, "c")], [true, false]);
});

test("a snapshot of layers without an image keeps all the layers below it", async () => {
  await using directory = temporaryDirectory();
  using db = openDatabase(directory.host("store.db"));
  for (const row of [layer("1", null), layer("2", "1"), layer("3", "2"), layer("x", "1")]) insertLayer(db, row);
  const id = addSnapshot(db, "work", chain("3"));
  assert.deepEqual(
    listUnreachableLayers(db).map((row) => row.directory),
    ["x"],
  );
  deleteSnapshot(db, id);
  assert.equal(listUnreachableLayers(db).length, 4);
});

test("what a row names cannot be deleted from under it", async () => {
  await using directory = temporaryDirectory();
  using db = openDatabase(directory.host("store.db"));
  const digest = digestOf("image");
  const platform = { os: "linux", architecture: "arm", variant: "v7" };
  const image = { digest, mediaType: "type", configDigest: digestOf("config"), ...platform, topChain: null };
  insertImage(db, { ...image, createdAtMs: 1 }, []);
  setRef(db, "name", digest);
  assert.throws(() => deleteImage(db, digest), { code: /SQLITE_CONSTRAINT/ });
  assert.throws(() => setRef(db, "other", digestOf("nothing")), { code: /SQLITE_CONSTRAINT/ });
  const id = addSnapshot(db, "work", null);
  insertMount(db, {
    snapshot: id,
    target: "/mnt" as HostPath,
    backend: "kernel",
    options: "",
    targetMade: false,
    createdAtMs: 1,
  });
  assert.throws(() => deleteSnapshot(db, id), { code: /SQLITE_CONSTRAINT/ });
});

test("targets of any bytes are kept, and each has one mount", async () => {
  await using directory = temporaryDirectory();
  using db = openDatabase(directory.host("store.db"));
  const target = "/mnt/\xff\xfe \\ 'x\"" as HostPath;
  const mount = { target, backend: "kernel", options: "index=on", targetMade: true, createdAtMs: 1 };
  insertMount(db, { ...mount, snapshot: addSnapshot(db, "one", null) });
  assert.equal(getMountAt(db, target)?.options, "index=on");
  const two = addSnapshot(db, "two", null);
  assert.throws(() => insertMount(db, { ...mount, snapshot: two }), { code: /SQLITE_CONSTRAINT/ });
  assert.equal(listMountRows(db)[0]?.target, target);
});
