/** podman and buildah use images of the store where they are, set up by `layerctl setup podman`. */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ociFixture } from "../helpers/fixture-images.ts";
import { type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { type Peers, peersIn } from "./peers.ts";

const NEEDED = requires("root", "overlay", "program:podman", "program:buildah", "program:strace", "program:crun");
/** A copy of the image would be more than a hundred MB. */
const NO_COPY_BYTES = 2_000_000;

interface Scene extends AsyncDisposable {
  readonly store: TestStore;
  readonly peers: Peers;
  readonly config: string;
}

/** A store with a Debian image, and a podman that has been set up for it. */
function scene(...options: readonly string[]): Scene {
  const store = temporaryStore();
  store.ok("import", ociFixture("rootfs"), "--name", "debian:12");
  const directory = join(store.path, "peers");
  const peers = peersIn(directory);
  const config = join(directory, "storage.conf");
  store.ok("setup", "podman", "--write", "--config", config, ...options);
  return {
    store,
    peers,
    config,
    async [Symbol.asyncDispose]() {
      peers[Symbol.dispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

function bytesIn(peers: Peers, directory: string): number {
  return Number(peers.shell(`du -sbx ${directory} | cut -f1`));
}

test("an image runs in podman from the layers of the store: nothing is unpacked or copied", {
  skip: NEEDED,
}, async () => {
  await using place = scene();
  const { store, peers } = place;
  assert.match(peers.run("podman", "images", "--format", "{{.Repository}}:{{.Tag}} {{.ReadOnly}}"), /debian:12 true/);
  const before = bytesIn(peers, store.root);
  const trace = join(store.path, "trace");
  const shown = peers.podmanRun("debian:12", ["sh", "-c", "head -n1 /etc/passwd; echo more > /more; cat /more"], trace);
  assert.equal(shown, "root:x:0:0:root:/root:/bin/bash\nmore");
  assert.ok(bytesIn(peers, join(store.path, "peers")) < NO_COPY_BYTES);
  assert.equal(bytesIn(peers, store.root), before);
  const written = readFileSync(trace, "utf8").match(/openat\([^)]*O_CREAT[^)]*overlay\/[^/]+\/diff\/(?!more)/g);
  assert.equal(written, null, "no file of the image was written");
  assert.match(readFileSync(trace, "utf8"), /lowerdir=[^ ]*store\/podman\/overlay\/l\//);
});

test("changes on it are podman's own, can be diffed, committed, built on, saved and pushed", {
  skip: NEEDED,
}, async () => {
  await using place = scene();
  const { store, peers } = place;
  const container = peers.run("podman", "create", "debian:12", "true");
  writeFileSync(join(peers.run("podman", "mount", container), "etc/added"), "added\n");
  assert.deepEqual(peers.run("podman", "diff", container).split("\n").sort(), ["A /etc/added", "C /etc"]);
  peers.run("podman", "commit", "-q", container, "localhost/mine:1");
  writeFileSync(join(store.path, "Containerfile"), "FROM localhost/mine:1\nRUN rm /etc/added && echo built > /built\n");
  peers.run("buildah", "build", "-q", "--isolation", "chroot", "-t", "localhost/built:1", store.path);
  assert.equal(peers.podmanRun("localhost/built:1", ["sh", "-c", "cat /built; ls /etc/added || true"]), "built");
  for (const image of ["debian:12", "localhost/built:1"]) {
    const saved = join(store.path, "saved.tar");
    peers.shell(`rm -f ${saved}`);
    peers.run("podman", "save", "-q", "--format", "oci-archive", "-o", saved, image);
    store.ok("import", saved, "--name", "back:1");
    const layers = JSON.parse(store.ok("layers", "back:1", "--json")) as { layers: { diffId: string }[] };
    const ours = JSON.parse(store.ok("layers", "debian:12", "--json")) as { layers: { diffId: string }[] };
    assert.equal(layers.layers[0]?.diffId, ours.layers[0]?.diffId, `the layer came out of ${image} byte for byte`);
  }
});

test("podman sees what is imported, committed, named and removed; what it stands on stays", {
  skip: NEEDED,
}, async () => {
  await using place = scene();
  const { store, peers } = place;
  const names = (): readonly string[] =>
    peers
      .run("podman", "images", "--format", "{{.Repository}}:{{.Tag}}")
      .split("\n")
      .map((name) => name.replace(/^.*\//, ""))
      .sort();
  const tree = store.mount("debian:12", "--name", "work");
  writeFileSync(join(tree, "etc/committed"), "committed\n");
  store.ok("commit", "work", "mine:1");
  store.ok("umount", "work");
  store.ok("rm", "work");
  store.ok("tag", "mine:1", "other:2");
  assert.deepEqual(names(), ["debian:12", "mine:1", "other:2"]);
  assert.equal(peers.podmanRun("other:2", ["cat", "/etc/committed"]), "committed");
  const container = peers.run("podman", "create", "mine:1", "true");
  store.ok("rmi", "mine:1"); // it has another name
  const refused = store.run(["rmi", "other:2"]);
  assert.equal(refused.exitCode, 4);
  assert.match(refused.stderr, /podman has containers or images on its layers in ".*peers\/root"/);
  assert.equal(store.run(["gc"]).exitCode, 0);
  const trees = readdirSync(join(store.root, "layers")).map((name) => join(store.root, "layers", name, "diff"));
  assert.equal(trees.length, 2);
  for (const tree of trees) {
    const damage = join(tree, "etc/damage");
    writeFileSync(damage, "damaged\n");
    const unrepaired = store.run(["fsck", "--deep", "--repair"]);
    assert.deepEqual([unrepaired.exitCode, /podman, in ".*peers\/root" has/.test(unrepaired.stderr)], [4, true], tree);
    rmSync(damage);
  }
  for (const tree of trees) writeFileSync(join(tree, "etc/damage"), "damaged\n");
  writeFileSync(join(peers.run("podman", "mount", container), "still"), "there");
  peers.run("podman", "umount", container);
  peers.run("podman", "rm", container);
  store.ok("rmi", "other:2");
  store.ok("gc");
  assert.deepEqual(names(), ["debian:12"]);
  store.run(["fsck", "--deep", "--repair"]);
  assert.equal(peers.podmanRun("debian:12", ["sh", "-c", "ls /etc/damage 2>/dev/null || echo none"]), "none");
  assert.equal(store.run(["fsck", "--deep"]).exitCode, 0);
});

test("more layers than podman can mount itself are mounted by our FUSE", { skip: NEEDED }, async () => {
  await using place = scene("--mount-program");
  const { store, peers } = place;
  store.ok("import", ociFixture("many-layers"), "--name", "many:1");
  const container = peers.run("podman", "create", "many:1", "true");
  const tree = peers.run("podman", "mount", container);
  assert.ok(existsSync(join(tree, "data")));
  peers.run("podman", "umount", container);
});

test("setup prints first, changes a file once, and leaves it as it was", { skip: NEEDED }, async () => {
  await using store = temporaryStore();
  store.ok("import", ociFixture("changes"), "--name", "small:1");
  const config = join(store.path, "storage.conf");
  const text = '# mine\n[storage]\ndriver = "overlay"\n[storage.options]\nadditionalimagestores = [\n  "/theirs",\n]\n';
  writeFileSync(config, text);
  const setup = (...options: readonly string[]): string => store.ok("setup", "podman", "--config", config, ...options);
  assert.equal(setup(), `[storage.options]\nadditionalimagestores = ["/theirs","${store.root}/podman"]`);
  assert.equal(readFileSync(config, "utf8"), text);
  setup("--write");
  const once = readFileSync(config, "utf8");
  assert.match(once, /^additionalimagestores = \["\/theirs",".*\/podman"\]$/m);
  setup("--write");
  assert.equal(readFileSync(config, "utf8"), once);
  setup("--undo");
  assert.equal(readFileSync(config, "utf8"), text);
  assert.equal(existsSync(join(store.root, "podman")), false);
  setup("--undo");
  assert.equal(readFileSync(config, "utf8"), text);

  const containerd = join(store.path, "new/config.toml");
  store.ok("setup", "containerd", "--config", containerd, "--write", "--socket", "/run/s.sock");
  assert.match(
    readFileSync(containerd, "utf8"),
    /version = 2\n\[proxy_plugins\.layerctl\]\n {2}type = "snapshot"\n {2}address = "\/run\/s\.sock"\n/,
  );
  store.ok("setup", "containerd", "--config", containerd, "--undo");
  assert.equal(existsSync(containerd), false);
  writeFileSync(config, "[storage\n");
  const broken = store.run(["setup", "podman", "--config", config]);
  assert.deepEqual([broken.exitCode, /Cannot read ".*storage.conf": line 1/.test(broken.stderr)], [5, true]);
});
