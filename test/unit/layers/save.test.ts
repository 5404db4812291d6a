import assert from "node:assert/strict";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openSource } from "../../../layers/formats/open-source.ts";
import { defaultSaveFormat, type SaveFormat, saveImages } from "../../../layers/save.ts";
import { Store } from "../../../layers/store.ts";
import { NotFoundError, UsageError } from "../../../src/errors.ts";
import { addStoredImage } from "../../helpers/stored-image.ts";
import { temporaryDirectory } from "../../helpers/temporary.ts";

const LOCAL = "localhost/app:1";

test("images of a store are saved under the names that were given", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  const app = await addStoredImage(store, { layers: ["base", "app"], references: [LOCAL, "docker.io/library/app:2"] });
  const other = await addStoredImage(store, { layers: ["base"] });
  const temporary = directory.host("tmp");
  mkdirSync(join(directory.path, "tmp"));
  const save = async (format: SaveFormat, ...names: string[]) => {
    const destination = join(directory.path, `saved-${format}-${names.length}`);
    await saveImages(store, names, { destination, format });
    await using source = await openSource(destination, { temporary });
    return source.images.map(({ manifest, references }) => [manifest?.descriptor.digest, references]);
  };
  for (const format of ["oci-archive", "oci-layout", "docker-archive"] as const) {
    assert.deepEqual(await save(format, LOCAL), [[app.digest, [LOCAL]]]);
    assert.deepEqual(await save(format, LOCAL, "app:2"), [[app.digest, [LOCAL, "docker.io/library/app:2"]]]);
    const both = await save(format, LOCAL, other.digest, LOCAL);
    assert.deepEqual(both, [
      [app.digest, [LOCAL]],
      [other.digest, []],
    ]);
  }
});

test("a save of what is not there, or to where it cannot go, is refused and writes nothing", async () => {
  await using directory = temporaryDirectory();
  using store = Store.open(directory.host("store"));
  await addStoredImage(store, { layers: ["base"], references: [LOCAL] });
  mkdirSync(join(directory.path, "out"));
  const destination = join(directory.path, "out", "a.tar");
  await assert.rejects(saveImages(store, [LOCAL, "missing"], { destination, format: "oci-archive" }), NotFoundError);
  await assert.rejects(saveImages(store, [LOCAL], { destination: "-", format: "oci-layout" }), UsageError);
  assert.deepEqual(readdirSync(join(directory.path, "out")), []);
});

test("without a format a directory becomes a layout, and anything else an archive", async () => {
  await using directory = temporaryDirectory();
  mkdirSync(join(directory.path, "there"));
  const formats = ["there", "new/", "new", "a.tar", "a/b.tar"].map((name) =>
    defaultSaveFormat(join(directory.path, name)),
  );
  assert.deepEqual(formats, ["oci-layout", "oci-layout", "oci-archive", "oci-archive", "oci-archive"]);
  assert.equal(defaultSaveFormat("-"), "oci-archive");
});
