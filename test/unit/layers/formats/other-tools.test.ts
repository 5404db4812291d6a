/** Sources as skopeo, umoci and podman write them. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf } from "../../../../src/digest.ts";
import { ociFiles } from "../../../helpers/image-builder.ts";
import { requires } from "../../../helpers/requires.ts";
import { file, tar } from "../../../helpers/tar-builder.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { open, put } from "./open.ts";

const LAYERS = [tar(file("a", "1")), tar(file("b", "2")), tar(file("a", "1"))];
const DIFF_IDS = LAYERS.map((layer) => digestOf(layer));
const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

test("layouts and archives of skopeo are read", { skip: requires("program:skopeo") }, async () => {
  await using directory = temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const layout = put(directory, "layout/", ociFiles([{ layers: LAYERS, reference: "1" }]));
  const cases: [transport: string, name: string, suffix: string, format: string, reference: string][] = [
    ["oci", "copy", ":v1", "oci-layout", "localhost/copy:v1"],
    ["oci", "full", ":example.com/a/b:v1", "oci-layout", "example.com/a/b:v1"],
    ["oci-archive", "o.tar", "", "oci-archive", "localhost/o:latest"],
    ["oci-archive", "t.tar", ":v2", "oci-archive", "localhost/t:v2"],
    ["docker-archive", "d.tar", ":example.com/d:v3", "docker-archive", "example.com/d:v3"],
  ];
  for (const [transport, name, suffix, format, reference] of cases) {
    run("skopeo", "copy", "--quiet", `oci:${layout}:1`, `${transport}:${at(name)}${suffix}`);
    await using source = await open(directory, at(name));
    assert.equal(source.format, format);
    const image = source.images[0] ?? assert.fail();
    assert.deepEqual(image.references, [reference]);
    assert.deepEqual(
      image.layers.map((layer) => layer.diffId),
      DIFF_IDS,
    );
  }
});

test("a layout of umoci is read", { skip: requires("program:umoci") }, async () => {
  await using directory = temporaryDirectory();
  const path = join(directory.path, "made");
  run("umoci", "init", "--layout", path);
  run("umoci", "new", "--image", `${path}:v1`);
  const layer = join(directory.path, "layer.tar");
  writeFileSync(layer, LAYERS[0] ?? assert.fail());
  run("umoci", "raw", "add-layer", "--image", `${path}:v1`, layer);
  await using source = await open(directory, path);
  const image = source.images[0] ?? assert.fail();
  assert.deepEqual(image.references, ["localhost/made:v1"]);
  assert.deepEqual(
    image.layers.map(({ diffId }) => diffId),
    DIFF_IDS.slice(0, 1),
  );
});

test("archives of podman are read, several images in one too", {
  skip: requires("root", "program:podman"),
}, async () => {
  await using directory = temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const storage = ["--root", at("p/root"), "--runroot", at("p/run"), "--tmpdir", at("p/tmp"), "--storage-driver=vfs"];
  const podman = (...args: string[]): string => run("podman", ...storage, ...args);
  mkdirSync(at("p"));
  for (const name of ["one", "two"]) {
    const image = { layers: [tar(file("name", name))], reference: `localhost/${name}:1` };
    podman("load", "--quiet", "-i", put(directory, `${name}.tar`, ociFiles([image])));
  }
  podman("save", "--quiet", "--format=oci-archive", "-o", at("oci.tar"), "localhost/one:1");
  podman("save", "--quiet", "--multi-image-archive", "-o", at("both.tar"), "localhost/one:1", "localhost/two:1");
  podman("save", "--quiet", "--format=oci-dir", "-o", at("dir"), "localhost/two:1");
  const references = async (name: string): Promise<readonly (readonly string[])[]> => {
    await using source = await open(directory, at(name));
    return source.images.map((image) => image.references);
  };
  assert.deepEqual(await references("oci.tar"), [["localhost/one:1"]]);
  assert.deepEqual(await references("both.tar"), [["localhost/one:1"], ["localhost/two:1"]]);
  assert.deepEqual(await references("dir"), [["localhost/two:1"]]);
});
