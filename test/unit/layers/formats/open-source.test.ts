import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { ImageSource, SourceLayer } from "../../../../layers/formats/source.ts";
import { digestOf } from "../../../../src/digest.ts";
import { bytesOf } from "../../../../src/paths.ts";
import { archiveOf, docker25Files, dockerFiles, ociFiles } from "../../../helpers/image-builder.ts";
import {
  directory as directoryMember,
  END,
  file,
  hardlink,
  header,
  symlink,
  tar,
} from "../../../helpers/tar-builder.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { assertRefused, open, put, spooled } from "./open.ts";

const BASE = tar(file("base", "1"));
const TOP = tar(file("top", "2"));
const IMAGE = { layers: [BASE, { tar: TOP, compression: "gzip" as const }, BASE] };

/** The bytes that a location means. */
function contentOf({ location }: SourceLayer): Buffer {
  const { file: path, offset, sizeBytes } = location;
  return readFileSync(bytesOf(path)).subarray(offset, offset + sizeBytes);
}

/** Every format must give the same layers. */
function assertLayers(source: ImageSource): void {
  const [image, ...others] = source.images;
  assert.ok(image !== undefined && others.length === 0);
  assert.deepEqual(image.references, ["localhost/test:latest"]);
  const blobs = [BASE, gzipSync(TOP, { level: 6 }), BASE];
  assert.deepEqual(image.layers.map(contentOf), blobs);
  assert.deepEqual(
    image.layers.map((layer) => layer.diffId),
    [BASE, TOP, BASE].map((bytes) => digestOf(bytes)),
  );
  assert.equal(image.config?.descriptor.digest, digestOf(image.config?.bytes ?? ""));
}

test("every format gives the same image, plain and compressed as a whole", async () => {
  await using directory = temporaryDirectory();
  const oci = archiveOf(ociFiles([IMAGE]));
  const docker = archiveOf(dockerFiles([IMAGE]));
  const sources: [string, string][] = [
    [put(directory, "layout/", ociFiles([IMAGE])), "oci-layout"],
    [put(directory, "a.tar", oci), "oci-archive"],
    [put(directory, "a.tar.gz", gzipSync(oci)), "oci-archive"],
    [put(directory, "b.tar", docker), "docker-archive"],
    [put(directory, "b.tar.zst", zstdCompressSync(docker)), "docker-archive"],
    [put(directory, "c.tar", docker25Files([IMAGE])), "docker-archive"],
  ];
  for (const [path, format] of sources) {
    await using source = await open(directory, path);
    assert.equal(source.format, format);
    assertLayers(source);
    assert.deepEqual(spooled(directory), [], "what is spooled has no name");
  }
});

test("standard input is spooled, and removed when the source is disposed", async () => {
  await using directory = temporaryDirectory();
  for (const bytes of [archiveOf(dockerFiles([IMAGE])), gzipSync(archiveOf(ociFiles([IMAGE])))]) {
    const pieces = (async function* () {
      for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100);
    })();
    {
      await using source = await open(directory, "-", { input: pieces });
      assertLayers(source);
    }
    assert.deepEqual(spooled(directory), []);
  }
});

test("a pipe is spooled like standard input", async () => {
  await using directory = temporaryDirectory();
  const archive = put(directory, "a.tar", ociFiles([IMAGE]));
  const fifo = join(directory.path, "fifo");
  execFileSync("mkfifo", [fifo]);
  execFileSync("sh", ["-c", 'cat "$0" > "$1" &', archive, fifo], { stdio: "ignore" });
  await using source = await open(directory, fifo);
  assertLayers(source);
});

test("a spooled archive larger than the limit is refused while it is written", async () => {
  await using directory = temporaryDirectory();
  const bomb = put(directory, "bomb.tar.gz", gzipSync(Buffer.alloc(64 << 20)));
  await assertRefused(
    directory,
    bomb,
    { limitBytes: 1 << 20 },
    "ERR_ARCHIVE_SIZE",
    /larger than the limit of 1048576 bytes;/,
  );
});

test("an aborted spool leaves nothing", async () => {
  await using directory = temporaryDirectory();
  const controller = new AbortController();
  const endless = (async function* () {
    for (let pieces = 0; ; pieces++) {
      if (pieces === 10) controller.abort();
      yield Buffer.alloc(1 << 16, "x");
    }
  })();
  await assert.rejects(open(directory, "-", { input: endless, signal: controller.signal }), { name: "AbortError" });
  assert.deepEqual(spooled(directory), []);
});

test("bodies are not read: an archive of 64 GiB opens at once", async () => {
  await using directory = temporaryDirectory();
  const size = 64 * 2 ** 30;
  const list = JSON.stringify([{ Config: "c.json", RepoTags: null, Layers: ["layer.tar"] }]);
  const config = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [digestOf("x")] } };
  const path = join(directory.path, "huge.tar");
  const fd = openSync(path, "w");
  const before = Buffer.concat([file("manifest.json", list), header({ name: "layer.tar", size })]);
  writeSync(fd, before);
  ftruncateSync(fd, before.length + size);
  writeSync(fd, Buffer.concat([file("c.json", JSON.stringify(config)), END]), 0, null, before.length + size);
  closeSync(fd);
  await using source = await open(directory, path);
  const { location } = source.images[0]?.layers[0] ?? assert.fail();
  assert.deepEqual([location.offset, location.sizeBytes], [before.length, size]);
});

test("of two members with one name the last counts", async () => {
  await using directory = temporaryDirectory();
  const archive = archiveOf(ociFiles([IMAGE])).subarray(0, -END.length);
  const good = [...ociFiles([IMAGE])].find(([name]) => name === "index.json")?.[1];
  assert.ok(Buffer.isBuffer(good));
  const bad = Buffer.concat([file("index.json", "{}"), archive, END]);
  await using source = await open(directory, put(directory, "last-good.tar", bad));
  assertLayers(source);
  const path = put(directory, "last-bad.tar", Buffer.concat([archive, file("./index.json", "{}"), END]));
  await assertRefused(directory, path, {}, "ERR_JSON_TYPE", /index\.json\.schemaVersion/);
});

test("a config and a layer may be reached through symlinks and hard links", async () => {
  await using directory = temporaryDirectory();
  const config = JSON.stringify({
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: [BASE, BASE, BASE].map((bytes) => digestOf(bytes)) },
  });
  const layers = ["a/layer.tar", "b/layer.tar", "c/layer.tar"];
  const list = JSON.stringify([{ Config: "c.json", RepoTags: ["test"], Layers: layers }]);
  const archive = tar(
    directoryMember("a/"),
    symlink("a/layer.tar", "../b/layer.tar"),
    hardlink("b/layer.tar", "./real.tar"),
    symlink("c/layer.tar", "/a/layer.tar"),
    file("real.tar", BASE),
    file("config", config),
    symlink("c.json", "config"),
    file("./manifest.json", list),
  );
  await using source = await open(directory, put(directory, "links.tar", archive));
  const image = source.images[0] ?? assert.fail();
  assert.deepEqual(image.references, ["docker.io/library/test:latest"]);
  assert.deepEqual(image.layers.map(contentOf), [BASE, BASE, BASE]);
});

test("links that lead in a circle are refused by name", async () => {
  await using directory = temporaryDirectory();
  const list = JSON.stringify([{ Config: "c.json", RepoTags: null, Layers: [] }]);
  const archive = tar(symlink("c.json", "d.json"), symlink("d.json", "c.json"), file("manifest.json", list));
  const path = put(directory, "circle.tar", archive);
  await assertRefused(directory, path, {}, "ERR_ARCHIVE_MALFORMED", /"c\.json": its links lead in a circle/);
});

test("an archive cut short is refused by the member it ends in", async () => {
  await using directory = temporaryDirectory();
  const whole = tar(file("oci-layout", '{"imageLayoutVersion":"1.0.0"}'), file("index.json", "x".repeat(2000)));
  const path = put(directory, "cut.tar", whole.subarray(0, 2048));
  await assertRefused(directory, path, {}, "ERR_ARCHIVE_MALFORMED", /cut\.tar": its member "index\.json" is cut short/);
});

test("what is no image is refused with what was looked for", async () => {
  await using directory = temporaryDirectory();
  const cases: [string, RegExp][] = [
    [put(directory, "rootfs.tar", tar(directoryMember("bin/"), file("bin/sh", "x"))), /pass --rootfs$/],
    [put(directory, "text", Buffer.alloc(4096, "text")), /text": it is not a tar archive$/],
    [put(directory, "empty", Buffer.alloc(0)), /not a tar archive$/],
    [put(directory, "some/", new Map([["file", Buffer.alloc(1)]])), /without a file "oci-layout"/],
  ];
  for (const [path, message] of cases) await assertRefused(directory, path, {}, "ERR_SOURCE_FORMAT", message);
  await assertRefused(directory, join(directory.path, "nothing"), {}, "ERR_SOURCE_NOT_FOUND", /no such file$/);
});

test("an archive compressed with xz is refused by name", async () => {
  await using directory = temporaryDirectory();
  const path = put(directory, "a.tar.xz", Buffer.concat([Buffer.from("fd377a585a00", "hex"), Buffer.alloc(600)]));
  await assertRefused(directory, path, {}, "ERR_COMPRESSION_UNSUPPORTED", /the archive: .* xz/);
});

test("the tar of a root file system is one layer, as it is", async () => {
  await using directory = temporaryDirectory();
  for (const [name, bytes] of [
    ["plain.tar", BASE],
    ["old.tar", tar(file("a", "1", { magic: "v7" }))],
    ["empty.tar", END],
    ["some.tar.gz", gzipSync(BASE)],
  ] as const) {
    await using source = await open(directory, put(directory, name, bytes), { rootfs: true });
    const image = source.images[0] ?? assert.fail();
    assert.equal(source.format, "rootfs");
    assert.deepEqual(image.layers.map(contentOf), [bytes]);
    assert.deepEqual([image.references, image.config, image.manifest], [[], null, null]);
  }
  await using source = await open(directory, "-", {
    rootfs: true,
    input: (async function* () {
      yield gzipSync(BASE);
    })(),
  });
  assert.deepEqual(source.images[0]?.layers.map(contentOf), [gzipSync(BASE)]);
});

test("a root file system that is a directory, or no tar, is refused", async () => {
  await using directory = temporaryDirectory();
  const rootfs = { rootfs: true };
  await assertRefused(directory, directory.path, rootfs, "ERR_SOURCE_FORMAT", /takes a tar, which "tar -C DIR -c \."/);
  const text = put(directory, "text", Buffer.alloc(4096, "text"));
  await assertRefused(directory, text, rootfs, "ERR_SOURCE_FORMAT", /not a tar archive$/);
});
