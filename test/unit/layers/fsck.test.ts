import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import test from "node:test";
import Sqlite from "better-sqlite3";
import { checkStore, type Finding } from "../../../layers/fsck.ts";
import { type Image, lowerdirsOf } from "../../../layers/image.ts";
import { layerFileDigests } from "../../../layers/layout.ts";
import { acquireLock } from "../../../layers/locks.ts";
import { prepare } from "../../../layers/snapshots/snapshots.ts";
import { Store } from "../../../layers/store.ts";
import { digestOf, hexOf } from "../../../src/digest.ts";
import { deleteBlob } from "../../../src/meta/blobs.ts";
import { listLayers } from "../../../src/meta/layers.ts";
import { bytesOf, type HostPath, joinHost } from "../../../src/paths.ts";
import { requires } from "../../helpers/requires.ts";
import { addStoredImage } from "../../helpers/stored-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../helpers/temporary.ts";

const SPEC = { layers: ["a", "b"], references: ["debian:12"], unpack: true };

async function openWithImage(directory: TemporaryDirectory): Promise<{ store: Store; image: Image; top: HostPath }> {
  const store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, SPEC);
  const [top] = lowerdirsOf(store, image);
  assert.ok(top);
  return { store, image, top };
}

function brief(findings: readonly Finding[]): readonly (readonly string[])[] {
  return findings.map(({ kind, subject }) => [kind, subject]);
}

test("a store in order has no findings, shallow or deep", async () => {
  await using directory = temporaryDirectory();
  const { store, image } = await openWithImage(directory);
  using _store = store;
  await prepare(store, { image, name: "work", view: false });
  const read: number[] = [];
  const onProgress = ({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }) =>
    read.push(doneBytes / totalBytes);
  const report = await checkStore(store, { deep: true, onProgress });
  assert.deepEqual(report.findings, []);
  assert.equal(report.isSound, true);
  assert.deepEqual(report.checked, { blobs: 4, layers: 2, images: 1, snapshots: 1 });
  assert.ok(read.length > 0 && read.every((part) => part > 0 && part <= 1));
});

test("a blob with a flipped byte is found, and its image named", async () => {
  await using directory = temporaryDirectory();
  const { store } = await openWithImage(directory);
  using _store = store;
  writeFileSync(bytesOf(store.blobs.path(digestOf("a"))), "x");
  const { findings, isSound } = await checkStore(store);
  assert.deepEqual(brief(findings), [["blob-changed", digestOf("a")]]);
  assert.match(findings[0]?.advice ?? "", /import "debian:12" again/);
  assert.equal(isSound, false);
});

test("a damaged or missing blob is taken away by a repair, and importing the image again heals the store", async () => {
  await using directory = temporaryDirectory();
  const { store, image } = await openWithImage(directory);
  using _store = store;
  writeFileSync(bytesOf(store.blobs.path(digestOf("a"))), "longer than it was");
  unlinkSync(bytesOf(store.blobs.path(image.configDigest)));
  const repaired = await checkStore(store, { repair: true });
  assert.deepEqual(
    new Set(brief(repaired.findings).map(String)),
    new Set([`blob-changed,${digestOf("a")}`, `blob-missing,${image.configDigest}`]),
  );
  assert.equal(repaired.isSound, false);
  assert.equal(existsSync(bytesOf(store.blobs.path(digestOf("a")))), false);
  assert.deepEqual(brief((await checkStore(store)).findings), [["image-incomplete", image.digest]]);
  await addStoredImage(store, SPEC);
  assert.deepEqual((await checkStore(store)).findings, []);
});

test("changed, missing and added files of an unpacked layer are named by a deep check only", async () => {
  await using directory = temporaryDirectory();
  const { store, image, top } = await openWithImage(directory);
  using _store = store;
  const [, bottom] = lowerdirsOf(store, image);
  writeFileSync(bytesOf(joinHost(top, "file")), "B");
  linkSync(bytesOf(joinHost(top, "file")), bytesOf(joinHost(top, "another name")));
  writeFileSync(bytesOf(joinHost(top, "extra\xff")), "");
  unlinkSync(bytesOf(joinHost(bottom ?? top, "file")));
  assert.deepEqual((await checkStore(store)).findings, []);
  const { findings } = await checkStore(store, { deep: true });
  const messages = new Map(findings.map((finding) => [finding.subject, finding.message]));
  assert.equal(messages.get(image.layers[1]?.chainId ?? ""), '1 changed: "file"; 1 added: "extra\\xff"');
  assert.equal(messages.get(image.layers[0]?.chainId ?? ""), '1 missing: "file"');
});

test("a repair takes away a damaged layer whose blob is good, so that it can be unpacked again", async () => {
  await using directory = temporaryDirectory();
  const { store, image, top } = await openWithImage(directory);
  using _store = store;
  writeFileSync(bytesOf(joinHost(top, "file")), "B");
  const { findings, isSound } = await checkStore(store, { deep: true, repair: true });
  assert.deepEqual(
    findings.map(({ subject, repaired }) => [subject, repaired]),
    [[image.topChain, true]],
  );
  assert.equal(isSound, true);
  assert.equal(existsSync(bytesOf(top)), false);
  assert.equal(listLayers(store.db).length, 1);
  assert.deepEqual((await checkStore(store, { deep: true })).findings, []);
});

test("a repair leaves a damaged layer whose blob is damaged too", async () => {
  await using directory = temporaryDirectory();
  const { store, image, top } = await openWithImage(directory);
  using _store = store;
  rmSync(bytesOf(layerFileDigests(store.layout, hexOf(image.layers[1]?.chainId ?? image.digest))));
  writeFileSync(bytesOf(store.blobs.path(digestOf("b"))), "x");
  const { findings } = await checkStore(store, { repair: true });
  assert.deepEqual(
    findings.map(({ kind, repaired }) => [kind, repaired]),
    [
      ["blob-changed", false],
      ["layer-missing", false],
    ],
  );
  assert.equal(existsSync(bytesOf(top)), true);
});

test("a layer that is mounted is not repaired, and nothing else is", { skip: requires("overlay") }, async () => {
  await using directory = temporaryDirectory();
  const { store, image, top } = await openWithImage(directory);
  using _store = store;
  const bad = store.blobs.path(image.configDigest);
  writeFileSync(bytesOf(joinHost(top, "file")), "B");
  writeFileSync(bytesOf(bad), "x");
  mkdirSync(`${directory.path}/merged`);
  execFileSync("mount", [
    "-t",
    "overlay",
    "overlay",
    "-o",
    `lowerdir=${lowerdirsOf(store, image).join(":")}`,
    `${directory.path}/merged`,
  ]);
  try {
    await assert.rejects(checkStore(store, { deep: true, repair: true }), { code: "ERR_LAYER_MOUNTED" });
  } finally {
    execFileSync("umount", [`${directory.path}/merged`]);
  }
  assert.ok(existsSync(bytesOf(bad)) && existsSync(bytesOf(top)));
});

test("rows without files, and images without blobs, are errors; files without rows are garbage", async () => {
  await using directory = temporaryDirectory();
  const { store, image, top } = await openWithImage(directory);
  using _store = store;
  const snapshot = await prepare(store, { image, name: "work", view: false });
  renameSync(bytesOf(top.slice(0, -"/diff".length)), bytesOf(joinHost(store.layout.layers, "unknown")));
  rmSync(bytesOf(snapshot.upperdir ?? ""), { recursive: true });
  deleteBlob(store.db, digestOf("a"));
  const { findings } = await checkStore(store);
  assert.deepEqual(brief(findings), [
    ["layer-missing", image.topChain],
    ["image-incomplete", image.digest],
    ["snapshot-incomplete", "work"],
    ["garbage", 'layer-directory "unknown"'],
    ["garbage", `blob-file "${hexOf(digestOf("a"))}"`],
  ]);
});

test("garbage alone leaves the store sound", async () => {
  await using directory = temporaryDirectory();
  const { store } = await openWithImage(directory);
  using _store = store;
  mkdirSync(`${directory.path}/store/snapshots/99`);
  const { findings, isSound } = await checkStore(store);
  assert.deepEqual(
    findings.map(({ severity }) => severity),
    ["garbage"],
  );
  assert.equal(isSound, true);
});

test("a row that names what is not there is damage of the database", async () => {
  await using directory = temporaryDirectory();
  const { store } = await openWithImage(directory);
  using _store = store;
  const connection = new Sqlite(`${directory.path}/store/layerctl.db`);
  connection.exec(`PRAGMA foreign_keys = OFF; UPDATE refs SET image = 'sha256:${"0".repeat(64)}'`);
  connection.close();
  assert.deepEqual(brief((await checkStore(store)).findings), [["database-damaged", "layerctl.db"]]);
});

test("a database whose pages are damaged is a finding, not a failure", async () => {
  await using directory = temporaryDirectory();
  const { store } = await openWithImage(directory);
  store[Symbol.dispose](); // everything is in the main file then
  const file = openSync(`${directory.path}/store/layerctl.db`, "r+");
  writeSync(file, Buffer.alloc(12 * 4096, 0x5a), 0, 12 * 4096, 2 * 4096);
  closeSync(file);
  using damaged = Store.open(directory.host("store"));
  const { findings, isSound } = await checkStore(damaged);
  assert.deepEqual([new Set(findings.map(({ kind }) => kind)), isSound], [new Set(["database-damaged"]), false]);
});

test("only a repair waits for those who add to the store", async () => {
  await using directory = temporaryDirectory();
  const { store } = await openWithImage(directory);
  using _store = store;
  await using _adding = await acquireLock(store.layout, "gc", "shared");
  await checkStore(store);
  await assert.rejects(checkStore(store, { repair: true, signal: AbortSignal.timeout(20) }));
});
