import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPlatform, hostPlatform, parsePlatform } from "../../../../layers/oci/platform.ts";
import {
  addBlob,
  blobName,
  bytesOf,
  dockerFiles,
  type Files,
  type Json,
  type JsonObject,
  ociFiles,
} from "../../../helpers/image-builder.ts";
import { file, tar } from "../../../helpers/tar-builder.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { assertRefused, open, put } from "./open.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const HOST = formatPlatform(hostPlatform());
const FOREIGN = HOST === "linux/s390x" ? "linux/riscv64" : "linux/s390x";

interface Built {
  readonly files: Files;
  /** The descriptors of the images, with their platforms. */
  readonly manifests: readonly JsonObject[];
}

/** Images for these platforms, each with a layer that holds the platform's name. */
function imagesFor(...platforms: readonly string[]): Built {
  const files = ociFiles(
    platforms.map((text) => {
      const [os = "", architecture = "", variant] = text.split("/");
      const platform = variant === undefined ? { os, architecture } : { os, architecture, variant };
      return {
        layers: [tar(file("platform", text))],
        reference: null,
        config: (config: JsonObject) => ({ ...config, ...platform }),
        descriptor: (descriptor: JsonObject) => ({ ...descriptor, platform }),
      };
    }),
  );
  return { files, manifests: JSON.parse(String(files.get("index.json"))).manifests };
}

const withIndex = (files: Files, manifests: Json): Files =>
  new Map(files).set("index.json", bytesOf({ schemaVersion: 2, manifests }));
const nest = (files: Files, manifests: Json, more: JsonObject = {}): JsonObject => ({
  ...addBlob(files, bytesOf({ schemaVersion: 2, mediaType: INDEX, manifests }), INDEX),
  ...more,
});
const named = (descriptor: JsonObject, name: string): JsonObject => ({
  ...descriptor,
  annotations: { "org.opencontainers.image.ref.name": name },
});

/** The platforms of the images that are chosen. */
async function chosen(files: Files, platform?: string): Promise<readonly string[]> {
  await using directory = temporaryDirectory();
  const options = platform === undefined ? {} : { platform: parsePlatform(platform) };
  await using source = await open(directory, put(directory, "x/", files), options);
  return source.images.map((image) => formatPlatform(image.platform));
}

async function refused(files: Files, platform: string | undefined, code: string, message: RegExp): Promise<void> {
  await using directory = temporaryDirectory();
  const options = platform === undefined ? {} : { platform: parsePlatform(platform) };
  await assertRefused(directory, put(directory, "x/", files), options, code, message);
}

test("the host's platform is chosen from a nested index, or the one asked for", async () => {
  const { files, manifests } = imagesFor(FOREIGN, HOST, "linux/arm/v6");
  const inner = nest(files, [...manifests]);
  const outer = withIndex(files, [named(nest(files, [inner]), "localhost/a:1")]);
  assert.deepEqual(await chosen(outer), [HOST]);
  assert.deepEqual(await chosen(outer, FOREIGN), [FOREIGN]);
  assert.deepEqual(await chosen(outer, "linux/arm/v7"), ["linux/arm/v6"]);
});

test("the best variant is chosen, whatever its place", async () => {
  const { files } = imagesFor("linux/arm/v5", "linux/arm/v7", "linux/arm/v6");
  assert.deepEqual(await chosen(files, "linux/arm/v7"), ["linux/arm/v7"]);
  assert.deepEqual(await chosen(files, "linux/arm/v6"), ["linux/arm/v6"]);
  assert.deepEqual(await chosen(files, "linux/arm64"), ["linux/arm/v7"]);
});

test("the platform comes from the config where the index gives none", async () => {
  const { files, manifests } = imagesFor(FOREIGN, HOST);
  const bare = manifests.map(({ platform: _, ...descriptor }) => descriptor);
  assert.deepEqual(await chosen(withIndex(files, bare)), [HOST]);
});

test("the only image is taken whatever its platform, unless one was asked for", async () => {
  const { files } = imagesFor(FOREIGN);
  assert.deepEqual(await chosen(files), [FOREIGN]);
  await refused(files, HOST, "ERR_PLATFORM_NOT_FOUND", new RegExp(`for ${HOST}: there is ${FOREIGN}$`));
});

test("a platform that is not there is refused with those that are", async () => {
  const { files } = imagesFor("linux/arm/v7", FOREIGN);
  await refused(files, "windows/amd64", "ERR_PLATFORM_NOT_FOUND", /windows\/amd64: there is linux\/arm\/v7, linux\//);
});

test("a docker-archive's images are chosen by platform, if one is asked for", async () => {
  const specs = [FOREIGN, HOST].map((text) => {
    const [os = "", architecture = ""] = text.split("/");
    return {
      layers: [tar(file("platform", text))],
      reference: `localhost/${architecture}:1`,
      config: (config: JsonObject) => ({ ...config, os, architecture }),
    };
  });
  await using directory = temporaryDirectory();
  const archive = put(directory, "x.tar", dockerFiles(specs));
  const platforms = async (platform?: string): Promise<readonly string[]> => {
    await using source = await open(
      directory,
      archive,
      platform === undefined ? {} : { platform: parsePlatform(platform) },
    );
    return source.images.map((image) => formatPlatform(image.platform));
  };
  assert.deepEqual(await platforms(), [FOREIGN, HOST]);
  assert.deepEqual(await platforms(FOREIGN), [FOREIGN]);
  const options = { platform: parsePlatform("windows/amd64") };
  await assertRefused(directory, archive, options, "ERR_PLATFORM_NOT_FOUND", new RegExp(`windows/amd64: .*${FOREIGN}`));
});

test("attestations and artifacts beside an image are not images", async () => {
  const { files, manifests } = imagesFor(FOREIGN);
  const [manifest = {}] = manifests;
  const attestation = { ...manifest, platform: { os: "unknown", architecture: "unknown" } };
  const artifact = addBlob(files, Buffer.from("{}"), "application/vnd.example+json");
  assert.deepEqual(await chosen(withIndex(files, [attestation, artifact, manifest])), [FOREIGN]);
  const lies = { ...addBlob(files, Buffer.from("{}"), MANIFEST), platform: attestation.platform };
  assert.deepEqual(await chosen(withIndex(files, [nest(files, [lies, manifest])])), [FOREIGN]);
  await refused(withIndex(files, [artifact]), undefined, "ERR_MEDIA_TYPE", /vnd\.example\+json/);
});

test("manifests of artifacts beside an image, with a name or without, are not images", async () => {
  const { files, manifests } = imagesFor(HOST);
  const image = named(Object.assign({ ...manifests[0] }, { platform: undefined }), "localhost/a:1");
  const empty = addBlob(files, Buffer.from("{}"), "application/vnd.oci.empty.v1+json");
  const ofType = (fields: JsonObject): JsonObject =>
    addBlob(files, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, ...fields })), MANIFEST);
  const sbom = ofType({ artifactType: "application/spdx+json", config: empty, layers: [empty] });
  const config = { ...empty, mediaType: "application/vnd.oci.image.config.v1+json" };
  const signature = ofType({
    config,
    layers: [{ ...empty, mediaType: "application/vnd.dev.cosign.simplesigning.v1+json" }],
  });
  assert.deepEqual(await chosen(withIndex(files, [sbom, image, named(signature, "localhost/a:sig")])), [HOST]);
  assert.deepEqual(await chosen(withIndex(files, [nest(files, [sbom, signature, image])])), [HOST]);
  await refused(withIndex(files, [signature]), undefined, "ERR_MEDIA_TYPE", /simplesigning/);
  await refused(withIndex(files, [sbom]), undefined, "ERR_MEDIA_TYPE", /spdx\+json/);
});

test("platforms whose blobs are not there are no choice: docker saves such indexes", async () => {
  const { files, manifests } = imagesFor(HOST, FOREIGN);
  files.delete(blobName(String(manifests[0]?.digest)));
  assert.deepEqual(await chosen(files), [FOREIGN]);
  files.delete(blobName(String(manifests[1]?.digest)));
  await refused(files, undefined, "ERR_BLOB_MISSING", /manifest "sha256:/);
});

test("each name gets its own choice", async () => {
  const { files, manifests } = imagesFor(HOST, FOREIGN);
  const [host = {}, foreign = {}] = manifests;
  const both = [named(nest(files, [host, foreign]), "localhost/a:1"), named(foreign, "localhost/b:1")];
  assert.deepEqual(await chosen(withIndex(files, both)), [HOST, FOREIGN]);
});

test("indexes nested too deep are refused, and those repeated are read once", async () => {
  const { files, manifests } = imagesFor(HOST);
  let descriptor = manifests[0] ?? {};
  for (let level = 0; level < 7; level++) descriptor = nest(files, Array(20).fill(descriptor));
  assert.deepEqual(await chosen(withIndex(files, [descriptor])), [HOST]); // 20^7 ways to the image
  for (let level = 0; level < 3; level++) descriptor = nest(files, [descriptor]);
  await refused(withIndex(files, [descriptor]), undefined, "ERR_INDEX_DEPTH", /more than 8 deep$/);
});

test("an empty index is refused", async () => {
  await refused(withIndex(imagesFor(HOST).files, []), undefined, "ERR_IMAGE_NOT_FOUND", /no images$/);
});
