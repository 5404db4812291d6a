import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test } from "node:test";
import type { SavedImage, WriteOptions } from "../../../../layers/formats/saved-image.ts";
import type { ImageSource } from "../../../../layers/formats/source.ts";
import { type ArchiveFormat, writeArchive, writeArchiveFile } from "../../../../layers/formats/write-archive.ts";
import { writeLayout } from "../../../../layers/formats/write-layout.ts";
import { hexOf } from "../../../../src/digest.ts";
import { ConflictError, IntegrityError, isErrno } from "../../../../src/errors.ts";
import { hostPath, joinHost } from "../../../../src/paths.ts";
import { type ImageSpec, ociFiles } from "../../../helpers/image-builder.ts";
import { requires } from "../../../helpers/requires.ts";
import { directory as directoryMember, file, tar } from "../../../helpers/tar-builder.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";
import { open, put } from "./open.ts";

const BASE = tar(directoryMember("etc/"), file("etc/name", "base\n"));
const image = (reference: string | null, text: string): ImageSpec => ({
  layers: [
    { tar: BASE, compression: "gzip" },
    { tar: tar(file("text", text)), compression: "zstd" },
    { tar: BASE, compression: "gzip" }, // the same blob twice
  ],
  reference,
});

/** Images as a store would hand them to be saved, with the files of their blobs. */
interface Stored {
  readonly images: readonly SavedImage[];
  readonly options: WriteOptions;
  readonly blobs: string;
}

async function stored(directory: TemporaryDirectory, ...specs: readonly ImageSpec[]): Promise<Stored> {
  const path = put(directory, "store/", ociFiles(specs));
  await using source = await open(directory, path);
  const blobs = joinHost(hostPath(path), "blobs", "sha256");
  return {
    images: source.images.map(savedOf),
    options: { blobPath: (digest) => joinHost(blobs, hexOf(digest)) },
    blobs: join(path, "blobs", "sha256"),
  };
}

function savedOf({ references, manifest, config, layers, platform }: ImageSource["images"][number]): SavedImage {
  if (manifest === null || config === null) assert.fail("a layout has both");
  const descriptors = layers.map(({ descriptor }) => descriptor ?? assert.fail());
  return { references, manifest: manifest.descriptor, config: config.descriptor, layers: descriptors, platform };
}

/** What comes back from a saved file or layout. */
async function reopened(directory: TemporaryDirectory, path: string): Promise<readonly SavedImage[]> {
  await using source = await open(directory, path);
  return source.images.map(savedOf);
}

const indexOf = (path: string) => JSON.parse(readFileSync(join(path, "index.json"), "utf8"));
const refNames = (path: string): readonly (string | undefined)[] =>
  indexOf(path).manifests.map(
    (entry: { annotations?: Record<string, string> }) => entry.annotations?.["org.opencontainers.image.ref.name"],
  );

for (const format of ["oci-archive", "docker-archive"] as const) {
  test(`a saved ${format} has the same digests and names, and the same bytes each time`, async () => {
    await using directory = temporaryDirectory();
    const { images, options } = await stored(directory, image("localhost/a:1", "1"), image("docker.io/b/c:2", "2"));
    const [first, second] = [directory.host("first.tar"), directory.host("second.tar")];
    await writeArchiveFile(images, format, first, options);
    await writeArchiveFile(images, format, second, options);
    assert.deepEqual(await reopened(directory, join(directory.path, "first.tar")), images);
    assert.deepEqual(readFileSync(join(directory.path, "first.tar")), readFileSync(join(directory.path, "second.tar")));
    const members = execFileSync("tar", ["-tf", join(directory.path, "first.tar")], { encoding: "utf8" }).split("\n");
    assert.equal(members.filter((name) => /sha256\/./.test(name)).length, 7, "a blob that is used often is there once");
  });
}

test("a saved layout has the same digests and names, and another save adds to it", async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"), image("localhost/a:2", "2"));
  const [first, second] = [images[0] ?? assert.fail(), images[1] ?? assert.fail()];
  const path = join(directory.path, "layout");
  mkdirSync(path);
  await writeLayout([first], hostPath(path), options);
  assert.deepEqual(await reopened(directory, path), [first]);
  writeFileSync(join(path, "index.json"), JSON.stringify({ ...indexOf(path), annotations: { kept: "yes" } }));
  await writeLayout([second], hostPath(path), options);
  assert.deepEqual(await reopened(directory, path), [first, second]);
  assert.deepEqual(indexOf(path).annotations, { kept: "yes" });
  await writeLayout([{ ...second, references: ["localhost/a:1"] }], hostPath(path), options);
  const names = (await reopened(directory, path)).map(({ manifest, references }) => [manifest.digest, references]);
  assert.deepEqual(names, [[second.manifest.digest, ["localhost/a:2", "localhost/a:1"]]], "a name moves");
  assert.equal(lstatSync(join(path, "index.json")).mode & 0o777, 0o666 & ~process.umask());
});

test("ref.name is the tag, or the full name where two images have the same tag", async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"), image("localhost/b:1", "2"));
  const [first, second] = [images[0] ?? assert.fail(), images[1] ?? assert.fail()];
  const path = directory.host("layout");
  await writeLayout([first, { ...second, references: ["localhost/b:2"] }], path, options);
  assert.deepEqual(refNames(join(directory.path, "layout")), ["1", "2"]);
  await writeLayout([second], path, options);
  assert.deepEqual(refNames(join(directory.path, "layout")), ["1", "2", "localhost/b:1"]);
  await writeLayout([first, second], directory.host("both"), options);
  assert.deepEqual(refNames(join(directory.path, "both")), ["localhost/a:1", "localhost/b:1"]);
});

test("an entry that skopeo made is replaced by its tag", async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"), image("localhost/a:2", "2"));
  const path = put(directory, "layout/", ociFiles([image("2", "old"), image("3", "old")]));
  await writeLayout(images.slice(1), hostPath(path), options);
  assert.deepEqual(refNames(path), ["3", "2"]);
});

test("a destination that is something else is refused and stays as it was", async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"));
  mkdirSync(join(directory.path, "full"));
  writeFileSync(join(directory.path, "full", "mine"), "x");
  const exists = (error: unknown) => error instanceof ConflictError && error.code === "ERR_DESTINATION_EXISTS";
  await assert.rejects(writeLayout(images, directory.host("full"), options), exists);
  await assert.rejects(writeLayout(images, directory.host("full", "mine"), options), exists);
  await assert.rejects(writeArchiveFile(images, "oci-archive", directory.host("full"), options), exists);
  assert.deepEqual(readdirSync(join(directory.path, "full")), ["mine"]);
});

test("a save that fails leaves nothing, and the file that was there", async () => {
  await using directory = temporaryDirectory();
  const { images, options, blobs } = await stored(directory, image("localhost/a:1", "1"));
  const layer = images[0]?.layers[1] ?? assert.fail();
  writeFileSync(join(blobs, hexOf(layer.digest)), "short");
  mkdirSync(join(directory.path, "out"));
  writeFileSync(join(directory.path, "out", "a.tar"), "before");
  const mismatch = (error: unknown) => error instanceof IntegrityError && error.code === "ERR_SIZE_MISMATCH";
  await assert.rejects(writeArchiveFile(images, "oci-archive", directory.host("out", "a.tar"), options), mismatch);
  await assert.rejects(writeLayout(images, directory.host("out", "layout"), options), mismatch);
  rmSync(join(blobs, hexOf(layer.digest)));
  const missing = (error: unknown) => error instanceof IntegrityError && error.code === "ERR_BLOB_MISSING";
  await assert.rejects(writeArchiveFile(images, "docker-archive", directory.host("out", "b.tar"), options), missing);
  await assert.rejects(writeLayout(images, directory.host("out", "layout"), options), missing);
  assert.deepEqual(readdirSync(join(directory.path, "out")), ["a.tar"]);
  assert.equal(readFileSync(join(directory.path, "out", "a.tar"), "utf8"), "before");
});

test("a cancelled save leaves nothing", async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"));
  mkdirSync(join(directory.path, "out"));
  const cancelled = { ...options, signal: AbortSignal.abort() };
  const aborted = { name: "AbortError" };
  await assert.rejects(writeArchiveFile(images, "oci-archive", directory.host("out", "a.tar"), cancelled), aborted);
  await assert.rejects(writeLayout(images, directory.host("out", "layout"), cancelled), aborted);
  assert.deepEqual(readdirSync(join(directory.path, "out")), []);
});

test("a symlink to a file stays one", async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"));
  writeFileSync(join(directory.path, "real.tar"), "");
  symlinkSync("real.tar", join(directory.path, "link.tar"));
  await writeArchiveFile(images, "oci-archive", directory.host("link.tar"), options);
  assert.ok(lstatSync(join(directory.path, "link.tar")).isSymbolicLink());
  assert.deepEqual(await reopened(directory, join(directory.path, "real.tar")), images);
});

test("a device that is full is the host's error, and stays a device", async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"));
  const written = writeArchiveFile(images, "oci-archive", hostPath("/dev/full"), options);
  await assert.rejects(written, (error) => isErrno(error, "ENOSPC"));
  assert.ok(lstatSync("/dev/full").isCharacterDevice());
});

test("an archive goes to a stream, and its progress ends at the total", async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"));
  const pieces: Buffer[] = [];
  const output = new Writable({
    write(chunk, _encoding, done) {
      pieces.push(chunk);
      done();
    },
  });
  const progress: [number, number][] = [];
  const onProgress: WriteOptions["onProgress"] = ({ doneBytes, totalBytes }) => progress.push([doneBytes, totalBytes]);
  await writeArchive(images, "docker-archive", output, { ...options, onProgress });
  assert.deepEqual(await reopened(directory, put(directory, "a.tar", Buffer.concat(pieces))), images);
  const [done, total] = progress.at(-1) ?? assert.fail();
  assert.ok(total > 0);
  assert.equal(done, total);
});

test("skopeo and umoci read what is saved", { skip: requires("program:skopeo", "program:umoci") }, async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("localhost/a:1", "1"));
  const [{ manifest, config }] = [images[0] ?? assert.fail()];
  const at = (name: string): string => join(directory.path, name);
  await writeLayout(images, hostPath(at("layout")), options);
  for (const format of ["oci-archive", "docker-archive"] satisfies ArchiveFormat[]) {
    await writeArchiveFile(images, format, hostPath(at(format)), options);
  }
  const skopeo = (...args: string[]): Buffer => execFileSync("skopeo", args, { stdio: ["ignore", "pipe", "pipe"] });
  const bytes = readFileSync(join(at("layout"), "blobs/sha256", hexOf(manifest.digest)));
  for (const reference of [`oci:${at("layout")}:1`, `oci-archive:${at("oci-archive")}`]) {
    assert.deepEqual(skopeo("inspect", "--raw", reference), bytes);
    skopeo("copy", "--quiet", reference, `oci:${at("copied")}:x`);
  }
  skopeo("copy", "--quiet", `docker-archive:${at("docker-archive")}`, `oci:${at("copied")}:docker`);
  const copied = await reopened(directory, at("copied"));
  assert.deepEqual(
    copied.map((one) => one.config.digest),
    [config.digest, config.digest],
  );
  assert.equal(execFileSync("umoci", ["ls", "--layout", at("layout")], { encoding: "utf8" }), "1\n");
});

test("podman loads what is saved under its names", { skip: requires("root", "program:podman") }, async () => {
  await using directory = temporaryDirectory();
  const { images, options } = await stored(directory, image("docker.io/library/a:1", "1"), image("localhost/b:1", "2"));
  const store = (name: string): string => join(directory.path, "podman", name);
  const storage = [
    "--root",
    store("root"),
    "--runroot",
    store("run"),
    "--tmpdir",
    store("tmp"),
    "--storage-driver=vfs",
  ];
  const podman = (...args: string[]): string =>
    execFileSync("podman", [...storage, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  await writeArchiveFile(images.slice(0, 1), "oci-archive", directory.host("oci.tar"), options);
  await writeArchiveFile(images, "docker-archive", directory.host("docker.tar"), options);
  assert.match(podman("load", "--quiet", "-i", join(directory.path, "oci.tar")), /docker\.io\/library\/a:1/);
  const loaded = podman("load", "--quiet", "-i", join(directory.path, "docker.tar"));
  assert.match(loaded, /docker\.io\/library\/a:1/);
  assert.match(loaded, /localhost\/b:1/);
  const ids = podman("images", "--quiet", "--no-trunc").trim().split("\n").sort();
  assert.deepEqual([...new Set(ids)], images.map(({ config }) => config.digest as string).sort());
});
