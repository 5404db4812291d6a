import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import test from "node:test";
import { lowerdirsOf } from "../../../layers/image.ts";
import { addImage, imageHistory, listImages, resolveImage, tagImage, untagImages } from "../../../layers/images.ts";
import { layerTree } from "../../../layers/layout.ts";
import { acquireLock } from "../../../layers/locks.ts";
import { encodeImageConfig } from "../../../layers/oci/image-config.ts";
import { encodeManifest } from "../../../layers/oci/manifest.ts";
import { prepare } from "../../../layers/snapshots/snapshots.ts";
import { Store } from "../../../layers/store.ts";
import { chainIdsOf, hexOf } from "../../../src/digest.ts";
import { ConflictError, NotFoundError, UsageError } from "../../../src/errors.ts";
import { bytesOf } from "../../../src/paths.ts";
import { addStoredImage, diffIdOfText } from "../../helpers/stored-image.ts";
import { temporaryDirectory } from "../../helpers/temporary.ts";

const DEBIAN = "docker.io/library/debian:12";
const LATEST = "docker.io/library/debian:latest";

test("an image is found by every way of writing its name, its digests and their first digits", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["a"], references: ["debian", "localhost/own:1"] });
  await addStoredImage(store, { layers: ["b"], references: ["other"] });
  const id = image.configDigest;
  const texts = ["debian", "debian:latest", "library/debian", "docker.io/debian", "index.docker.io/library/debian"];
  texts.push(
    "own:1",
    "localhost/own:1",
    image.digest,
    id,
    hexOf(id),
    hexOf(image.digest).slice(0, 12),
    id.slice(0, 20),
  );
  texts.push(`debian@${image.digest}`);
  for (const text of texts) assert.equal(resolveImage(store, text).digest, image.digest, text);
  assert.deepEqual(resolveImage(store, "debian").references, [LATEST, "localhost/own:1"]);
});

test("a name that is not there is told from the names that are like it", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["a"], references: ["debian:12"] });
  for (const text of ["debian", "debain:12", "debian:21"]) {
    const isHelpful = (error: unknown) => error instanceof NotFoundError && error.message.includes('"debian:12"');
    assert.throws(() => resolveImage(store, text), isHelpful, text);
  }
  const unlike = (error: unknown) => error instanceof NotFoundError && !error.message.includes("mean");
  assert.throws(() => resolveImage(store, "postgresql"), unlike);
  assert.throws(() => resolveImage(store, `other@${image.digest}`), NotFoundError);
  assert.throws(() => resolveImage(store, hexOf(image.digest).slice(0, 3)), NotFoundError); // a name of 3 letters
  assert.throws(() => resolveImage(store, "Debian!"), UsageError);
});

test("digits that several images begin with are a conflict that names them", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const one = await addStoredImage(store, { layers: ["a"], references: ["one"], annotation: "1" });
  const two = await addStoredImage(store, { layers: ["a"], annotation: "2" });
  assert.equal(one.configDigest, two.configDigest);
  assert.throws(
    () => resolveImage(store, one.configDigest),
    (error) =>
      error instanceof ConflictError && error.message.includes("(one:latest)") && error.message.includes("(untagged)"),
  );
});

test("adding an image twice changes nothing, and one without its layer blobs is refused", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const spec = { layers: ["a", "b"], references: ["debian:12"] };
  const [one, two] = [await addStoredImage(store, spec), await addStoredImage(store, spec)];
  assert.equal(one.digest, two.digest);
  assert.equal(listImages(store).length, 1);
  assert.deepEqual(
    one.layers.map((layer) => layer.chainId),
    chainIdsOf(["a", "b"].map(diffIdOfText)),
  );
  const config = encodeImageConfig(one.config);
  const [layer] = one.manifest.layers;
  assert.ok(layer);
  const manifest = encodeManifest(config.descriptor, [layer, { ...layer, size: 2 }]);
  await assert.rejects(addImage(store, { manifest, config, references: [] }), { code: "ERR_IMAGE_INCOMPLETE" });
});

test("moving a tag leaves the old image without a name, listed last", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const one = await addStoredImage(store, { layers: ["a"], references: ["debian:12"] });
  const two = await addStoredImage(store, { layers: ["b"], references: ["zebra:1"] });
  assert.equal(await tagImage(store, two, "debian:12"), DEBIAN);
  assert.equal(resolveImage(store, "debian:12").digest, two.digest);
  assert.deepEqual(
    listImages(store).map((image) => [image.digest, image.references]),
    [
      [two.digest, [DEBIAN, "docker.io/library/zebra:1"]],
      [one.digest, []],
    ],
  );
  await assert.rejects(tagImage(store, one, `debian@${one.digest}`), { code: "ERR_REFERENCE_DIGEST" });
});

test("removing the last name removes the image and what only it reached", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const one = await addStoredImage(store, { layers: ["base", "a"], references: ["one", "one:2"], unpack: true });
  const two = await addStoredImage(store, { layers: ["base", "b"], references: ["two"], unpack: true });
  const before = readdirSync(bytesOf(store.layout.blobs)).length;
  assert.deepEqual(await untagImages(store, ["one:2"]), [
    { digest: one.digest, untagged: ["docker.io/library/one:2"], deleted: false },
  ]);
  assert.equal(readdirSync(bytesOf(store.layout.blobs)).length, before);
  const [removed] = await untagImages(store, ["one"]);
  assert.equal(removed?.deleted, true);
  assert.equal(readdirSync(bytesOf(store.layout.blobs)).length, before - 3); // manifest, config, layer "a"
  assert.equal(readdirSync(bytesOf(store.layout.layers)).length, 2);
  assert.ok(lowerdirsOf(store, two).every((lowerdir) => existsSync(bytesOf(lowerdir))));
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
});

test("while somebody adds to the store, removing an image leaves its files to gc", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["a"], references: ["one"], unpack: true });
  await using _adding = await acquireLock(store.layout, "gc", "shared");
  await untagImages(store, ["one"]);
  assert.deepEqual(listImages(store), []);
  assert.equal(existsSync(bytesOf(store.blobs.path(image.digest))), true);
});

test("a digest stands for all names of its image in one repository, and never for names in several", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["a"], references: ["one:1", "one:2"] });
  await tagImage(store, image, "two");
  await assert.rejects(untagImages(store, [image.digest]), { code: "ERR_IMAGE_NAMED" });
  await untagImages(store, ["two"]);
  const [result] = await untagImages(store, [image.digest.slice(0, 19)]);
  assert.deepEqual(result?.untagged, ["docker.io/library/one:1", "docker.io/library/one:2"]);
  assert.deepEqual(listImages(store), []);
});

test("an image that a snapshot is made from stays, and so does every other of the same call", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["a"], references: ["one", "one:2"], unpack: true });
  await addStoredImage(store, { layers: ["b"], references: ["two"] });
  await prepare(store, { image, name: "work", view: false });
  await assert.rejects(untagImages(store, ["two", "one", "one:2"]), (error) => {
    return error instanceof ConflictError && error.code === "ERR_IMAGE_IN_USE" && error.message.includes('"work"');
  });
  assert.equal(listImages(store).length, 2);
  await untagImages(store, ["one:2"]); // another name of it may go
});

test("lowerdirs come top first, and a layer that is not unpacked is a conflict", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const image = await addStoredImage(store, { layers: ["a", "b"], unpack: true });
  const names = image.layers.map((layer) => layerTree(store.layout, hexOf(layer.chainId)));
  assert.deepEqual(lowerdirsOf(store, image), names.toReversed());
  const packed = await addStoredImage(store, { layers: ["a", "c"] });
  assert.throws(() => lowerdirsOf(store, packed), { code: "ERR_LAYER_NOT_UNPACKED" });
  assert.deepEqual(lowerdirsOf(store, await addStoredImage(store, { layers: [] })), [store.layout.empty]);
});

test("each layer of the history stands beside the step that made it", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const history = [{ created_by: "ADD" }, { created_by: "ENV", empty_layer: true }];
  const image = await addStoredImage(store, { layers: ["a", "b"], history });
  assert.deepEqual(
    imageHistory(image).map((step) => [step.entry.created_by, step.layer?.diffId]),
    [
      ["ADD", diffIdOfText("a")],
      ["ENV", undefined],
      [undefined, diffIdOfText("b")],
    ],
  );
});
