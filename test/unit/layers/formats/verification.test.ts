import assert from "node:assert/strict";
import { test } from "node:test";
import {
  blobName,
  bytesOf,
  docker25Files,
  dockerFiles,
  type Files,
  type Json,
  type JsonObject,
  ociFiles,
  sha256,
} from "../../../helpers/image-builder.ts";
import { file, tar } from "../../../helpers/tar-builder.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { assertRefused, open, put } from "./open.ts";

const LAYER = tar(file("a", "x"));
const IMAGE = { layers: [LAYER] };

/** The files with the fields of the JSON blob that holds `text` in another order: the same size, the same meaning, another digest. */
function changed(files: Files, text: string): Files {
  for (const [name, bytes] of files) {
    if (!Buffer.isBuffer(bytes) || !name.startsWith("blobs/") || !bytes.includes(text)) continue;
    const document: Json = JSON.parse(bytes.toString());
    const shuffled: JsonObject = Object.fromEntries(Object.entries(document ?? {}).reverse());
    return new Map(files).set(name, bytesOf(shuffled));
  }
  assert.fail(`no blob holds ${text}`);
}

async function refused(files: Files, code: string, message: RegExp): Promise<void> {
  await using directory = temporaryDirectory();
  await assertRefused(directory, put(directory, "x.tar", files), {}, code, message);
}

test("a manifest or config that is not what its digest says is refused", async () => {
  await refused(changed(ociFiles([IMAGE]), '"layers":['), "ERR_DIGEST_MISMATCH", /manifest "sha256:/);
  await refused(changed(ociFiles([IMAGE]), '"diff_ids"'), "ERR_DIGEST_MISMATCH", /config "sha256:/);
});

test("a docker-archive's config that is not what its name says is refused", async () => {
  const wrong = sha256("wrong").slice("sha256:".length);
  for (const name of [`${wrong}.json`, `sha256:${wrong}`, `blobs/sha256/${wrong}`]) {
    const files = dockerFiles([IMAGE], (list) => list.map((entry) => ({ ...entry, Config: name })));
    const [, config] = [...files].find(([path]) => /^[0-9a-f]{64}\.json$/.test(path)) ?? assert.fail();
    files.set(name, config);
    await refused(files, "ERR_DIGEST_MISMATCH", new RegExp(`config "sha256:${wrong}": its bytes have digest sha256:`));
  }
});

test("layers and diff_ids that cannot be paired are refused in every format", async () => {
  const config = (document: JsonObject): JsonObject => ({ ...document, rootfs: { type: "layers", diff_ids: [] } });
  for (const make of [ociFiles, dockerFiles, docker25Files]) {
    await refused(make([{ ...IMAGE, config }]), "ERR_LAYER_COUNT", /1 layers, its config 0 diff_ids/);
  }
});

test("a layer of another size than its descriptor says is refused before it is read", async () => {
  await refused(ociFiles([{ layers: [{ tar: LAYER, size: 5 }] }]), "ERR_SIZE_MISMATCH", /has 2048 bytes, .* says 5$/);
});

test("a layer blob that is not there is refused by its digest", async () => {
  const files = ociFiles([IMAGE]);
  files.delete(blobName(sha256(LAYER)));
  await refused(files, "ERR_BLOB_MISSING", new RegExp(`layer "${sha256(LAYER)}"`));
});

test("the digest of a docker-archive's layer is known from its name, and only then", async () => {
  await using directory = temporaryDirectory();
  await using old = await open(directory, put(directory, "old.tar", dockerFiles([IMAGE])));
  assert.equal(old.images[0]?.layers[0]?.descriptor, null);
  const files = docker25Files([{ layers: [{ tar: LAYER, compression: "gzip" }] }]);
  files.delete("oci-layout"); // so that it is read as a docker-archive
  await using named = await open(directory, put(directory, "new.tar", files));
  const { descriptor, location } = named.images[0]?.layers[0] ?? assert.fail();
  assert.equal(descriptor?.mediaType, "application/vnd.oci.image.layer.v1.tar+gzip");
  assert.equal(descriptor?.size, location.sizeBytes);
  assert.ok(files.has(blobName(descriptor?.digest ?? "")));
});
