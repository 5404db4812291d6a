import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { type CommitOptions, commitSnapshot } from "../../../../layers/commit/commit.ts";
import type { Image } from "../../../../layers/image.ts";
import { addImage, resolveImage } from "../../../../layers/images.ts";
import { documentOf } from "../../../../layers/oci/descriptor.ts";
import { DOCKER_MANIFEST } from "../../../../layers/oci/media-types.ts";
import { prepare, type Snapshot } from "../../../../layers/snapshots/snapshots.ts";
import { Store } from "../../../../layers/store.ts";
import { type Logger, silentLogger } from "../../../../src/log.ts";
import { bytesOf, type HostPath, joinHost } from "../../../../src/paths.ts";
import { addStoredImage } from "../../../helpers/stored-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../../helpers/temporary.ts";

interface Fixture {
  readonly store: Store;
  readonly image: Image;
  readonly snapshot: Snapshot;
  readonly upperdir: HostPath;
}

function openStore(directory: TemporaryDirectory, logger: Logger = silentLogger): Store {
  return Store.open(directory.host("store"), { logger });
}

/** A snapshot called "work" of an image with one layer, and no file younger than the clock's tick. */
async function makeFixture(store: Store, image?: Image): Promise<Fixture> {
  const base = image ?? (await addStoredImage(store, { layers: ["base"], references: ["base"], unpack: true }));
  const snapshot = await prepare(store, { image: base, name: "work", view: false });
  const upperdir = snapshot.upperdir ?? ("" as HostPath);
  return { store, image: base, snapshot, upperdir };
}

function write(upperdir: HostPath, path: string, content: string | Buffer): void {
  const file = joinHost(upperdir, path);
  writeFileSync(bytesOf(file), content);
  execFileSync("touch", ["-d", "@1700000000.000000001", file, upperdir]);
}

function tarOf(store: Store, image: Image): Buffer {
  const layer = image.layers.at(-1);
  return layer === undefined ? Buffer.alloc(0) : gunzipSync(readFileSync(store.blobs.path(layer.descriptor.digest)));
}

function contentIn(tar: Buffer, path: string): string {
  return execFileSync("tar", ["-xO", path], { input: tar, maxBuffer: 1 << 26 }).toString();
}

const OPTIONS: CommitOptions = { reference: "new:1" };

test("a commit adds a layer, its config and its history to the image, and keeps the rest", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const { image, upperdir } = await makeFixture(store);
  write(upperdir, "f", "new");
  const result = await commitSnapshot(store, "work", {
    ...OPTIONS,
    changes: ["ENV A=b"],
    author: "me",
    message: "why",
  });
  const made = resolveImage(store, "new:1");
  assert.equal(made.digest, result.digest);
  assert.equal(made.configDigest, result.configDigest);
  assert.deepEqual(made.layers[0], image.layers[0]);
  assert.equal(made.layers[1]?.descriptor.digest, result.layer?.digest);
  assert.equal(made.layers[1]?.diffId, result.diffId);
  const tar = tarOf(store, made);
  assert.equal(`sha256:${createHash("sha256").update(tar).digest("hex")}`, result.diffId);
  assert.equal(tar.length, result.tarBytes);
  assert.equal(contentIn(tar, "f"), "new");
  assert.deepEqual(made.config.config, { Env: ["A=b"] });
  assert.equal(made.config.author, "me");
  const { created, ...step } = made.config.history?.at(-1) ?? {};
  assert.deepEqual(step, { created_by: 'layerctl commit -c "ENV A=b"', author: "me", comment: "why" });
  assert.equal(created, made.config.created);
  assert.equal(made.config.history?.length, 2, "the layer that the base's history does not tell of has an entry too");
  assert.deepEqual(readdirSync(store.layout.temporary), []);
});

test("a commit of nothing adds no layer, only a step to the history", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const { image } = await makeFixture(store);
  await sleep(25);
  const result = await commitSnapshot(store, "work", { reference: null, changes: ["USER u"] });
  const made = resolveImage(store, result.digest);
  assert.deepEqual([result.layer, result.diffId, result.tarBytes], [null, null, 0]);
  assert.deepEqual(made.layers, image.layers);
  assert.deepEqual(made.references, []);
  assert.equal(made.config.history?.at(-1)?.empty_layer, true);
});

test("the same change gives the same layer in another store, and with SOURCE_DATE_EPOCH the same image", async () => {
  const digests: string[] = [];
  process.env.SOURCE_DATE_EPOCH = "1600000000";
  try {
    for (let round = 0; round < 2; round++) {
      await using directory = temporaryDirectory();
      using store = openStore(directory);
      const { upperdir } = await makeFixture(store);
      for (const name of round === 0 ? ["b", "a", "c"] : ["c", "b", "a"]) write(upperdir, name, `content of ${name}`);
      const { digest, layer } = await commitSnapshot(store, "work", OPTIONS);
      digests.push(`${digest} ${layer?.digest}`);
      assert.equal(resolveImage(store, "new:1").config.created, "2020-09-13T12:26:40Z");
      const listed = execFileSync("tar", ["-tv", "--utc", "--full-time"], {
        input: tarOf(store, resolveImage(store, digest)),
      });
      assert.match(listed.toString(), /2020-09-13 12:26:40 a\n/, "1700000000 is clamped");
    }
  } finally {
    delete process.env.SOURCE_DATE_EPOCH;
  }
  assert.equal(digests[0], digests[1]);
});

test("an image with docker's media types stays one, unless the layer is of a kind that docker has no type for", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const oci = await addStoredImage(store, { layers: ["base"], unpack: true });
  const layers = oci.manifest.layers.map((layer) => ({
    ...layer,
    mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  }));
  const config = documentOf(
    "application/vnd.docker.container.image.v1+json",
    readFileSync(store.blobs.path(oci.configDigest)),
  );
  const manifest = { schemaVersion: 2, mediaType: DOCKER_MANIFEST, config: config.descriptor, layers };
  const bytes = Buffer.from(JSON.stringify(manifest));
  const digest = await addImage(store, { manifest: documentOf(DOCKER_MANIFEST, bytes), config, references: ["d"] });
  const { upperdir } = await makeFixture(store, resolveImage(store, digest));
  write(upperdir, "f", "new");

  await commitSnapshot(store, "work", OPTIONS);
  const made = resolveImage(store, "new:1").manifest;
  assert.equal(made.mediaType, DOCKER_MANIFEST);
  assert.equal(made.config.mediaType, config.descriptor.mediaType);
  const type = "application/vnd.docker.image.rootfs.diff.tar.gzip";
  assert.deepEqual(
    made.layers.map(({ mediaType }) => mediaType),
    [type, type],
  );

  await commitSnapshot(store, "work", { reference: "zstd:1", compression: "zstd" });
  const zstd = resolveImage(store, "zstd:1").manifest;
  assert.equal(zstd.mediaType, "application/vnd.oci.image.manifest.v1+json");
  const layer = "application/vnd.oci.image.layer.v1.tar";
  assert.deepEqual(
    zstd.layers.map(({ mediaType }) => mediaType),
    [`${layer}+gzip`, `${layer}+zstd`],
  );
});

/** Commits a tree of an empty file, "a", a big one and "z" while `change` is made to it; tells the layer and the events. */
async function commitDuring(
  change: (upperdir: HostPath) => void,
): Promise<{ layer: Buffer; events: readonly string[] }> {
  await using directory = temporaryDirectory();
  const events: string[] = [];
  const logger = {
    ...silentLogger,
    debug: (event: string, fields?: object) => void events.push(event + JSON.stringify(fields)),
  };
  using store = openStore(directory, logger);
  const { upperdir } = await makeFixture(store);
  write(upperdir, "!empty", "");
  write(upperdir, "a", "first");
  write(upperdir, "b", Buffer.alloc(3 << 20));
  write(upperdir, "z", "first");
  await sleep(25); // the change time of a new file is now, whatever its mtime: let it pass
  let isChanged = false;
  const onProgress = (): void => {
    if (!isChanged) change(upperdir);
    isChanged = true;
  };
  const { digest } = await commitSnapshot(store, "work", { ...OPTIONS, onProgress });
  assert.deepEqual(readdirSync(store.layout.temporary), []);
  return { layer: tarOf(store, resolveImage(store, digest)), events };
}

test("a file that changes before it is read makes the commit start again, and the layer holds the change", async () => {
  const { layer, events } = await commitDuring((upperdir) => appendFileSync(joinHost(upperdir, "z"), " and second"));
  assert.equal(contentIn(layer, "z"), "first and second");
  assert.deepEqual(events, ['commit.changed{"snapshot":"work","path":"/z","attempt":0}']);
});

test("so does one without content, and one that is added, at any time", async () => {
  const filled = await commitDuring((upperdir) => appendFileSync(joinHost(upperdir, "!empty"), "no more"));
  assert.equal(contentIn(filled.layer, "!empty"), "no more");
  assert.deepEqual(filled.events, ['commit.changed{"snapshot":"work","path":"/!empty","attempt":0}']);
  const added = await commitDuring((upperdir) => writeFileSync(joinHost(upperdir, "new"), "new"));
  assert.equal(contentIn(added.layer, "new"), "new");
  assert.match(added.events[0] ?? "", /"path":"\/","attempt":0/);
});

test("a file that changes after it was read is in the layer as it was when the commit began", async () => {
  const { layer, events } = await commitDuring((upperdir) => appendFileSync(joinHost(upperdir, "a"), " and second"));
  assert.equal(contentIn(layer, "a"), "first");
  assert.deepEqual(events, []);
});

test("a tree that keeps changing is refused with the path that does, and nothing stays behind", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const { upperdir } = await makeFixture(store);
  write(upperdir, "big", Buffer.alloc(3 << 20));
  mkdirSync(joinHost(upperdir, "log"));
  await sleep(25);
  const onProgress = (): void => appendFileSync(joinHost(upperdir, "log/\xfe"), "line\n");
  const blobs = readdirSync(store.layout.blobs).length;
  await assert.rejects(commitSnapshot(store, "work", { ...OPTIONS, onProgress }), {
    name: "ConflictError",
    code: "ERR_COMMIT_CHANGING",
    message: /"\/log/,
  });
  assert.deepEqual(readdirSync(store.layout.temporary), []);
  assert.equal(readdirSync(store.layout.blobs).length, blobs);
});

test("a file changed within the clock's tick before the commit is waited for", async () => {
  await using directory = temporaryDirectory();
  const events: string[] = [];
  using store = openStore(directory, { ...silentLogger, debug: (event) => void events.push(event) });
  const { upperdir } = await makeFixture(store);
  await sleep(25);
  writeFileSync(joinHost(upperdir, "f"), "now");
  await commitSnapshot(store, "work", OPTIONS);
  assert.deepEqual(events, ["commit.changed"]);
});

test("a view has nothing to commit", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const image = await addStoredImage(store, { layers: ["base"], unpack: true });
  await prepare(store, { image, name: "view", view: true });
  await assert.rejects(commitSnapshot(store, "view", OPTIONS), { code: "ERR_COMMIT_VIEW" });
});

test("a wrong change of the config is refused before anything is written", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const { upperdir } = await makeFixture(store);
  write(upperdir, "f", "new");
  const blobs = readdirSync(store.layout.blobs).length;
  await assert.rejects(commitSnapshot(store, "work", { ...OPTIONS, changes: ["RUN x"] }), {
    code: "ERR_CONFIG_CHANGE",
  });
  assert.equal(readdirSync(store.layout.blobs).length, blobs);
});

test("what the init layer put there is not committed, what the user made of it is", async () => {
  await using directory = temporaryDirectory();
  using store = openStore(directory);
  const image = await addStoredImage(store, { layers: ["base"], unpack: true });
  const { upperdir, initdir } = await prepare(store, { image, name: "work", view: false, init: true });
  assert.ok(upperdir !== null && initdir !== null);
  execFileSync("cp", ["-a", joinHost(initdir, "etc"), upperdir]); // as a copy-up of all of it
  execFileSync("rm", [joinHost(upperdir, "etc/mtab"), joinHost(upperdir, "etc/resolv.conf")]);
  execFileSync("mknod", ["-m", "0", joinHost(upperdir, "etc/resolv.conf"), "c", "0", "0"]);
  write(upperdir, "etc/hosts", "127.0.0.1 me");
  await sleep(25);
  const { digest } = await commitSnapshot(store, "work", OPTIONS);
  const tar = tarOf(store, resolveImage(store, digest));
  const listed = execFileSync("tar", ["-t"], { input: tar }).toString().split("\n");
  const paths = listed.filter((path) => path !== "./" && path !== "");
  assert.deepEqual(paths, ["etc/", "etc/hostname", "etc/hosts"], "hostname was copied up: it is the user's now");
  assert.equal(contentIn(tar, "etc/hosts"), "127.0.0.1 me");
});
