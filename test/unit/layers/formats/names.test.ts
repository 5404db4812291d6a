import assert from "node:assert/strict";
import { test } from "node:test";
import { sourceRepository } from "../../../../layers/formats/source-names.ts";
import { hostPath } from "../../../../src/paths.ts";
import { docker25Files, dockerFiles, type Files, type ImageSpec, ociFiles } from "../../../helpers/image-builder.ts";
import { file, tar } from "../../../helpers/tar-builder.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { assertRefused, open, put } from "./open.ts";

const image = (reference: string | null, text = "x"): ImageSpec => ({ layers: [tar(file("a", text))], reference });

async function referencesOf(name: string, files: Files): Promise<readonly (readonly string[])[]> {
  await using directory = temporaryDirectory();
  await using source = await open(directory, put(directory, name, files));
  return source.images.map(({ references }) => references);
}

test("a ref.name that is only a tag is put to the name of the directory or file", async () => {
  assert.deepEqual(await referencesOf("debian/", ociFiles([image("12")])), [["localhost/debian:12"]]);
  assert.deepEqual(await referencesOf("debian.tar", ociFiles([image("latest")])), [["localhost/debian:latest"]]);
});

test("a ref.name with a repository is a reference", async () => {
  assert.deepEqual(await referencesOf("x/", ociFiles([image("debian:12")])), [["docker.io/library/debian:12"]]);
  assert.deepEqual(await referencesOf("x/", ociFiles([image("localhost/a/b")])), [["localhost/a/b:latest"]]);
});

test("docker's full name wins over its tag", async () => {
  assert.deepEqual(await referencesOf("x.tar", docker25Files([image("docker.io/library/debian:12")])), [
    ["docker.io/library/debian:12"],
  ]);
});

test("an image without a name is called after its file if it is the only one", async () => {
  assert.deepEqual(await referencesOf("My App_1.oci", ociFiles([image(null)])), [["localhost/my-app_1:latest"]]);
  assert.deepEqual(await referencesOf("x.tar", ociFiles([image(null, "1"), image(null, "2")])), [[], []]);
  assert.deepEqual(await referencesOf("x.tar", dockerFiles([image(null)])), [[]]);
});

test("one image under several names is one image", async () => {
  const files = ociFiles([image("localhost/a:1"), image("localhost/a:2"), image("localhost/b:1", "other")]);
  assert.deepEqual(await referencesOf("x/", files), [["localhost/a:1", "localhost/a:2"], ["localhost/b:1"]]);
});

test("a docker-archive may hold several images", async () => {
  const files = dockerFiles([image("a:1", "1"), image("example.com/b:2", "2")]);
  assert.deepEqual(await referencesOf("x.tar", files), [["docker.io/library/a:1"], ["example.com/b:2"]]);
});

test("the tags in manifest.json name images that the index gives only a tag", async () => {
  const files = docker25Files([image("localhost/a:1")]);
  const { manifests, ...rest } = JSON.parse(String(files.get("index.json")));
  manifests[0].annotations = { "org.opencontainers.image.ref.name": "1" };
  files.set("index.json", Buffer.from(JSON.stringify({ ...rest, manifests })));
  assert.deepEqual(await referencesOf("x.tar", files), [["localhost/a:1"]]);
});

test("two images with one name are refused", async () => {
  await using directory = temporaryDirectory();
  const path = put(directory, "x/", ociFiles([image("localhost/a:1", "1"), image("localhost/a:1", "2")]));
  await assertRefused(directory, path, {}, "ERR_REFERENCE_AMBIGUOUS", /"localhost\/a:1": two images/);
  const archive = put(directory, "x.tar", dockerFiles([image("localhost/a:1", "1"), image("localhost/a:1", "2")]));
  await assertRefused(directory, archive, {}, "ERR_REFERENCE_AMBIGUOUS", /"localhost\/a:1": two images/);
});

test("an image that a docker-archive lists twice is one image with both names", async () => {
  const files = dockerFiles([image("localhost/a:1"), image("localhost/a:2"), image("localhost/a:1")]);
  assert.deepEqual(await referencesOf("x.tar", files), [["localhost/a:1", "localhost/a:2"]]);
});

test("a bad name is refused unless the caller gives its own", async () => {
  await using directory = temporaryDirectory();
  for (const [name, files] of [
    ["oci/", ociFiles([image("a b")])],
    ["docker.tar", dockerFiles([image("a b")])],
    ["docker25.tar", docker25Files([image("a b/c:1")])],
  ] as const) {
    const path = put(directory, name, files);
    await assertRefused(directory, path, {}, "ERR_REFERENCE_FORMAT", /a b.*--name$/);
    await using source = await open(directory, path, { ignoreNames: true });
    assert.deepEqual(source.images[0]?.references, []);
  }
});

test("names are made from paths without what a name cannot have", () => {
  const cases: [string, "file" | "directory", string | null][] = [
    ["/a/Debian-12.tar.gz", "file", "localhost/debian-12"],
    ["b.oci/", "directory", "localhost/b.oci"],
    ["b.oci", "file", "localhost/b"],
    ["a__b..c", "file", "localhost/a__b-c"],
    ["__x__", "file", "localhost/x"],
    ["é.tar", "file", null],
    [".tar", "file", null],
    ["/", "directory", null],
  ];
  for (const [path, kind, expected] of cases) assert.equal(sourceRepository(hostPath(path), kind), expected, path);
});
