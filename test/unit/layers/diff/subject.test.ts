import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import type { LayerDiff } from "../../../../layers/diff/change.ts";
import { diffBelow, diffSubjects, findSubject } from "../../../../layers/diff/subject.ts";
import { prepare } from "../../../../layers/snapshots/snapshots.ts";
import { Store } from "../../../../layers/store.ts";
import { hexOf } from "../../../../src/digest.ts";
import { type HostPath, joinHost } from "../../../../src/paths.ts";
import { addStoredImage } from "../../../helpers/stored-image.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

function lines(diff: LayerDiff): string {
  return diff.changes
    .filter(({ path }) => path !== "")
    .map(({ kind, path }) => `${kind} ${path}`)
    .join(", ");
}

test("a snapshot is compared with its image, an image and a layer with the layers below", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["one", "two"], references: ["image"], unpack: true });
  const { upperdir } = await prepare(store, { image, name: "work", view: false });
  await prepare(store, { image, name: "view", view: true });
  writeFileSync(joinHost(upperdir ?? ("" as HostPath), "new"), "x");
  const below = async (text: string): Promise<string> => lines(diffBelow(await findSubject(store, text)));
  assert.equal(await below("work"), "A new");
  assert.equal(await below("view"), "");
  assert.equal(await below("image"), "C file");
  const [base, top] = image.layers;
  assert.ok(base && top);
  for (const digest of [base.chainId, base.diffId, base.descriptor.digest, hexOf(base.diffId).slice(0, 12)]) {
    assert.equal(await below(digest), "A file", digest);
  }
  assert.equal(await below(hexOf(top.diffId)), "C file");
});

test("any two can be compared, both ways", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["one", "two"], references: ["image"], unpack: true });
  const { upperdir } = await prepare(store, { image, name: "work", view: false });
  writeFileSync(joinHost(upperdir ?? ("" as HostPath), "new"), "x");
  const [work, whole, base] = await Promise.all(
    ["work", "image", image.layers[0]?.diffId ?? ""].map((text) => findSubject(store, text)),
  );
  assert.ok(work && whole && base);
  assert.equal(lines(diffSubjects(base, work)), "C file, A new");
  assert.equal(lines(diffSubjects(work, base)), "C file, D new");
  assert.equal(lines(diffSubjects(whole, whole)), "");
});

test("a layer that lies on different stacks must be named by its chainID", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["one", "shared"], references: ["a"], unpack: true });
  await addStoredImage(store, { layers: ["two", "shared"], references: ["b"], unpack: true });
  const layer = image.layers[1];
  assert.ok(layer);
  await assert.rejects(findSubject(store, layer.diffId), { code: "ERR_LAYER_AMBIGUOUS" });
  assert.equal((await findSubject(store, layer.chainId)).kind, "layer");
});

test("what is nothing is not found", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  for (const text of ["nothing", "0123456789ab"]) {
    await assert.rejects(findSubject(store, text), { code: "ERR_NAME_NOT_FOUND" });
  }
});
