/** The library, as the package gives it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { NotFoundError, type ProgressEvent, pathBytes, Store, UsageError } from "../../layers/library/index.ts";
import { archiveOf, ociFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { directory, file, tar } from "../helpers/tar-builder.ts";

const PACKAGE = join(dirname(LAYERCTL), "../dist/library.cjs");

/** A name with a byte that is not UTF-8, as bytes in latin-1 and as text. */
const ODD = { bytes: "od\xffd", text: "od\udcffd" };

function writeImage(path: string): void {
  const layer = tar(directory("etc/"), file("etc/motd", "welcome\n"), file(ODD.bytes, "odd\n"));
  writeFileSync(path, archiveOf(ociFiles([{ layers: [layer], reference: "docker.io/library/small:1" }])));
}

/** A store with the image "small:1". */
async function storeWithImage(place: TestStore): Promise<Store> {
  const source = join(place.path, "small.tar");
  writeImage(source);
  const store = await Store.open(place.root);
  await store.import(source);
  return store;
}

test("importing the library loads no native code, and gives its names to import and require", () => {
  const script = `
    import { Store, NotFoundError, pathBytes } from ${JSON.stringify(PACKAGE)};
    import { createRequire } from "node:module";
    const required = createRequire(import.meta.url)(${JSON.stringify(PACKAGE)});
    const maps = (await import("node:fs")).readFileSync("/proc/self/maps", "utf8");
    console.log(required.Store === Store, typeof NotFoundError, typeof pathBytes, /\\.node$/m.test(maps));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.equal(stdout, "true function function false\n", stderr);
});

test("a store tells how far an import is, and what it holds", { skip: requires("root") }, async () => {
  await using place = temporaryStore();
  const source = join(place.path, "small.tar");
  writeImage(source);
  using store = await Store.open(place.root);
  const told: ProgressEvent[] = [];
  store.on("progress", (event) => told.push(event));
  const [imported] = await store.import(source);
  assert.equal(imported?.reference, "docker.io/library/small:1");
  const last = told.at(-1);
  assert.deepEqual([last?.operation, last?.subject, last?.doneBytes], ["import", source, last?.totalBytes]);
  const [image] = await store.images();
  assert.deepEqual(image, await store.image("small:1"));
  assert.deepEqual([image?.digest, image?.layers.length], [imported?.digest, 1]);
  assert.equal((await store.imageConfig("small:1")).os, "linux");
  assert.equal(await store.tag("small:1", "other:2"), "docker.io/library/other:2");
  assert.deepEqual(await store.removeImages(["small:1"]), []);
  assert.deepEqual(await store.removeImages(["other:2"]), [imported?.digest]);
  assert.deepEqual(await store.collectGarbage(), { removed: [], freedBytes: 0 });
  assert.equal((await store.diskUsage()).layerBytes, 0);
  assert.deepEqual(await store.check({ deep: true }), { isSound: true, findings: [] });
});

test("names that are not UTF-8 come out as text that leads back to them", {
  skip: requires("root", "overlay"),
}, async () => {
  await using place = temporaryStore();
  using store = await storeWithImage(place);
  const { target } = await store.mount("small:1", { name: "work", options: "index=on" });
  const path = pathBytes(`${target}/${ODD.text}`);
  assert.equal(readFileSync(path, "utf8"), "odd\n");
  writeFileSync(path, "changed\n");
  const [change] = await store.diff("work");
  assert.deepEqual([change?.kind, change?.path, change?.size], ["C", `/${ODD.text}`, 8]);
  const stream = new PassThrough();
  const written = store.diffTar(stream, "work").finally(() => stream.end());
  const [bytes, { size }] = await Promise.all([buffer(stream), written]);
  assert.equal(bytes.length, size);
  assert.ok(bytes.includes(Buffer.from(ODD.bytes, "latin1")));
  await store.unmount(target);
  assert.deepEqual(
    (await store.snapshots()).map(({ name, target }) => [name, target]),
    [["work", null]],
  );
});

test("a snapshot that is prepared is mounted later, under the name it has", {
  skip: requires("root", "overlay"),
}, async () => {
  await using place = temporaryStore();
  using store = await storeWithImage(place);
  const prepared = await store.prepare("small:1", { name: "later" });
  assert.deepEqual([prepared.kind, prepared.target], ["active", null]);
  const mounted = await store.mount("later");
  assert.equal(mounted.upperdir, prepared.upperdir);
  await store.unmount("later");
  await store.removeSnapshot("later");
  assert.deepEqual(await store.snapshots(), []);
});

test("errors have a class and a code, and a stream that breaks ends an export", {
  skip: requires("root"),
}, async () => {
  await using place = temporaryStore();
  const source = join(place.path, "small.tar");
  writeImage(source);
  await assert.rejects(Store.open(place.root, { create: false }), NotFoundError);
  using store = await Store.open(place.root);
  await assert.rejects(store.image("none"), { code: "ERR_IMAGE_NOT_FOUND" });
  await assert.rejects(store.import(source, { platform: "no" }), UsageError);
  await store.import(source);
  const broken = new PassThrough();
  broken.on("error", () => {});
  broken.destroy(new Error("gone"));
  await assert.rejects(store.export(broken, "small:1"));
});
