import assert from "node:assert/strict";
import test from "node:test";
import {
  checkLayerCount,
  encodeImageConfig,
  parseImageConfig,
  platformOf,
} from "../../../../layers/oci/image-config.ts";
import { checkLayoutHeader, isAttestation, parseIndex } from "../../../../layers/oci/image-index.ts";
import { encodeManifest, parseManifest } from "../../../../layers/oci/manifest.ts";
import { digestOf } from "../../../../src/digest.ts";
import { IntegrityError, UnsupportedError } from "../../../../src/errors.ts";

const digest = digestOf("x");
const CONFIG = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 1 };
const LAYER = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: 2 };
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const manifest = (over: object = {}) => json({ schemaVersion: 2, config: CONFIG, layers: [LAYER], ...over });
const config = (over: object = {}) =>
  json({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digest] }, ...over });
const fails =
  (type: typeof IntegrityError | typeof UnsupportedError, code: string, message: RegExp) => (error: unknown) => {
    assert.ok(error instanceof type && error.code === code, String(error));
    assert.match(error.message, message);
    return true;
  };

test("a manifest is read with its layers base first", () => {
  const other = { ...LAYER, digest: digestOf("y"), mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip" };
  const parsed = parseManifest(manifest({ layers: [LAYER, other], urls: 5, data: {} }));
  assert.deepEqual(parsed.layers, [LAYER, other]);
  assert.equal(parsed.mediaType, "application/vnd.oci.image.manifest.v1+json");
});

test("docker's schema 1 is refused by name", () => {
  const old = json({ schemaVersion: 1, name: "library/x", fsLayers: [] });
  assert.throws(() => parseManifest(old), fails(UnsupportedError, "ERR_SCHEMA_VERSION", /schemaVersion 1: .*schema 1/));
  const type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
  assert.throws(() => parseManifest(manifest(), type), fails(UnsupportedError, "ERR_MEDIA_TYPE", /schema 1/));
});

test("layers that are not plain tars are refused by their type", () => {
  for (const mediaType of [
    "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    "application/vnd.erofs.layer.v1",
    "application/vnd.in-toto+json",
    "text/plain",
  ]) {
    const message = new RegExp(mediaType.replaceAll("+", "\\+"));
    assert.throws(
      () => parseManifest(manifest({ layers: [{ ...LAYER, mediaType }] })),
      fails(UnsupportedError, "ERR_MEDIA_TYPE", message),
    );
  }
});

test("foreign and nondistributable layers are layers", () => {
  for (const mediaType of [
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  ]) {
    assert.equal(parseManifest(manifest({ layers: [{ ...LAYER, mediaType }] })).layers[0]?.mediaType, mediaType);
  }
});

test("an artifact that is no image is refused by the type of its config", () => {
  const helm = { ...CONFIG, mediaType: "application/vnd.cncf.helm.config.v1+json" };
  assert.throws(() => parseManifest(manifest({ config: helm })), fails(UnsupportedError, "ERR_MEDIA_TYPE", /helm/));
});

test("a document that is both manifest and index is refused by either parser", () => {
  const both = manifest({ manifests: [] });
  assert.throws(() => parseManifest(both), fails(IntegrityError, "ERR_DOCUMENT_AMBIGUOUS", /"manifests"/));
  assert.throws(() => parseIndex(both), fails(IntegrityError, "ERR_DOCUMENT_AMBIGUOUS", /"config"/));
});

test("a document must be of the type that its descriptor gives", () => {
  const bytes = manifest({ mediaType: "application/vnd.docker.distribution.manifest.v2+json" });
  assert.equal(parseManifest(bytes).mediaType, "application/vnd.docker.distribution.manifest.v2+json");
  assert.throws(
    () => parseManifest(bytes, "application/vnd.oci.image.manifest.v1+json"),
    fails(IntegrityError, "ERR_MEDIA_TYPE_MISMATCH", /calls itself/),
  );
});

test("wrong types in a descriptor are named", () => {
  const bad = (layer: object) => () => parseManifest(manifest({ layers: [{ ...LAYER, ...layer }] }));
  assert.throws(bad({ size: -1 }), fails(IntegrityError, "ERR_JSON_TYPE", /manifest\.layers\[0\]\.size: .*number -1/));
  assert.throws(bad({ digest: 7 }), fails(IntegrityError, "ERR_JSON_TYPE", /manifest\.layers\[0\]\.digest: expected/));
  assert.throws(bad({ digest: "sha256:../../x" }), fails(IntegrityError, "ERR_DIGEST_FORMAT", /sha256:\.\.\//));
  const sha512 = `sha512:${"0".repeat(128)}`;
  assert.throws(bad({ digest: sha512 }), fails(UnsupportedError, "ERR_DIGEST_ALGORITHM", /is sha512; only sha256/));
  assert.throws(
    bad({ annotations: { a: 1 } }),
    fails(IntegrityError, "ERR_JSON_TYPE", /annotations\.a: expected a string/),
  );
  assert.throws(() => parseManifest(json([])), fails(IntegrityError, "ERR_JSON_TYPE", /manifest: expected an object/));
});

test("an index keeps platforms, and tells attestations from images", () => {
  const type = "application/vnd.oci.image.manifest.v1+json";
  const unknown = { architecture: "unknown", os: "unknown" };
  const { manifests } = parseIndex(
    json({
      schemaVersion: 2,
      manifests: [
        { mediaType: type, digest, size: 1, platform: { os: "linux", architecture: "arm", variant: "v7" } },
        { mediaType: type, digest, size: 1, platform: unknown },
        { mediaType: type, digest, size: 1, annotations: { "vnd.docker.reference.type": "attestation-manifest" } },
      ],
    }),
  );
  assert.deepEqual(manifests[0]?.platform, { os: "linux", architecture: "arm", variant: "v7" });
  assert.deepEqual(manifests.map(isAttestation), [false, true, true]);
});

test("a config keeps the fields it does not know, in their order", () => {
  const text = `{"zzz":{"a":[1]},"architecture":"arm64","variant":"v8","os":"linux","config":{"Env":["A=b"],"Cmd":null,"New":1},"rootfs":{"type":"layers","diff_ids":["${digest}"],"extra":1},"history":[{"created_by":"x","new":2}]}`;
  const parsed = parseImageConfig(Buffer.from(text));
  assert.equal(JSON.stringify(parsed), text);
  assert.deepEqual(platformOf(parsed), { os: "linux", architecture: "arm64", variant: "v8" });
});

test("a config without layers may leave diff_ids out", () => {
  const parsed = parseImageConfig(config({ rootfs: { type: "layers" } }));
  assert.deepEqual(parsed.rootfs.diff_ids, []);
});

test("wrong types in a config are named", () => {
  const cases: [object, RegExp][] = [
    [{ os: 1 }, /config\.os: expected a string/],
    [{ os: "" }, /config\.os: expected a name/],
    [{ config: { Env: "A=b" } }, /config\.config\.Env: expected an array/],
    [{ config: { Env: [1] } }, /config\.config\.Env\[0\]: expected a string/],
    [{ config: { Labels: { a: {} } } }, /config\.config\.Labels\.a: expected a string/],
    [{ config: [] }, /config\.config: expected an object, found array/],
    [{ history: [{ empty_layer: "yes" }] }, /config\.history\[0\]\.empty_layer: expected true or false/],
    [{ history: {} }, /config\.history: expected an array/],
    [{ rootfs: { type: "layers+x" } }, /config\.rootfs\.type: expected "layers"/],
    [{ rootfs: { type: "layers", diff_ids: [null] } }, /config\.rootfs\.diff_ids\[0\]/],
  ];
  for (const [over, message] of cases) {
    assert.throws(() => parseImageConfig(config(over)), fails(IntegrityError, "ERR_JSON_TYPE", message));
  }
});

test("layers and diff_ids that cannot be paired are refused", () => {
  const parsed = parseImageConfig(config());
  checkLayerCount(1, parsed);
  assert.throws(() => checkLayerCount(2, parsed), fails(IntegrityError, "ERR_LAYER_COUNT", /2 layers, .* 1 diff_ids/));
});

test("what is encoded is read back, and has the same digest each time", () => {
  const made = encodeManifest(CONFIG, [LAYER]);
  assert.deepEqual(parseManifest(made.bytes, made.descriptor.mediaType).layers, [LAYER]);
  assert.equal(made.descriptor.digest, digestOf(made.bytes));
  assert.deepEqual(encodeManifest({ ...CONFIG }, [{ digest, size: 2, mediaType: LAYER.mediaType }]).bytes, made.bytes);
  const parsed = parseImageConfig(config());
  assert.deepEqual(parseImageConfig(encodeImageConfig(parsed).bytes), parsed);
});

test("a layout of another major version is refused", () => {
  checkLayoutHeader(json({ imageLayoutVersion: "1.0.0" }));
  assert.throws(
    () => checkLayoutHeader(json({ imageLayoutVersion: "2.0.0" })),
    fails(UnsupportedError, "ERR_LAYOUT_VERSION", /"2.0.0"/),
  );
});
