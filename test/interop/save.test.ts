/** What we save they load: every digest is what it was, they unpack the same tree, and `podman run` works from it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { differences, listTree, withoutStamps } from "../helpers/compare.ts";
import { type FixtureName, ociFixture } from "../helpers/fixture-images.ts";
import { type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";
import { type Peers, peersIn } from "./peers.ts";

const needs = (...programs: readonly string[]): { skip: string | false } => ({
  skip: requires("root", "overlay", ...programs.map((name) => `program:${name}` as const)),
});

const FORMATS = ["oci-layout", "oci-archive", "docker-archive"] as const;
type Format = (typeof FORMATS)[number];

/** Saves an image and returns what skopeo calls the result. */
function save(store: TestStore, reference: string, format: Format): string {
  const path = join(store.path, `saved-${format}${format === "oci-layout" ? "" : ".tar"}`);
  store.ok("save", reference, "-o", path, "--format", format);
  const transport = { "oci-layout": "oci", "oci-archive": "oci-archive", "docker-archive": "docker-archive" }[format];
  return `${transport}:${path}`;
}

interface Inspected {
  readonly Layers: readonly string[];
}

const inspect = (peers: Peers, image: string): Inspected =>
  JSON.parse(peers.run("skopeo", "inspect", image)) as Inspected;
const rawConfig = (peers: Peers, image: string): string => peers.run("skopeo", "inspect", "--config", "--raw", image);
const rawManifest = (peers: Peers, image: string): string => peers.run("skopeo", "inspect", "--raw", image);

for (const name of ["small-files", "small-files-zstd", "changes", "many-layers"] as const) {
  const fixture = name.replace("-zstd", "") as FixtureName;
  const compression = name.endsWith("-zstd") ? "zstd" : "gzip";
  test(`${name} is saved with the manifest, config and layers it came with`, needs("skopeo"), async () => {
    await using store = temporaryStore();
    using peers = peersIn(join(store.path, "peers"));
    const source = `oci:${ociFixture(fixture, compression)}:latest`;
    store.ok("import", ociFixture(fixture, compression), "--name", "localhost/here:1");
    for (const format of ["oci-layout", "oci-archive"] as const) {
      const saved = save(store, "localhost/here:1", format);
      assert.equal(rawManifest(peers, saved), rawManifest(peers, source), format);
      assert.equal(rawConfig(peers, saved), rawConfig(peers, source), format);
      peers.run("skopeo", "copy", "-q", saved, `dir:${join(store.path, `copied-${format}`)}`); // verifies every digest
    }
    const docker = save(store, "localhost/here:1", "docker-archive");
    assert.equal(rawConfig(peers, docker), rawConfig(peers, source));
    assert.equal(inspect(peers, docker).Layers.length, inspect(peers, source).Layers.length);
    peers.run("skopeo", "copy", "-q", docker, `dir:${join(store.path, "copied-docker")}`);
  });
}

test(
  "a committed image, saved, is unpacked by umoci to the tree that was committed",
  needs("umoci", "skopeo"),
  async () => {
    await using store = temporaryStore();
    using peers = peersIn(join(store.path, "peers"));
    const want = listTree(committed(store));
    store.ok("save", "localhost/changed:1", "-o", join(store.path, "layout"), "--format", "oci-layout");
    const [tag = ""] = peers.run("umoci", "list", "--layout", join(store.path, "layout")).split("\n");
    peers.run("umoci", "unpack", "--image", `${join(store.path, "layout")}:${tag}`, join(store.path, "bundle"));
    assert.deepEqual(differences(listTree(join(store.path, "bundle", "rootfs")), want), []);
  },
);

for (const format of FORMATS) {
  test(
    `podman runs a committed image from our ${format}, and mounts the committed tree`,
    needs("podman", "crun"),
    async () => {
      await using store = temporaryStore();
      using peers = peersIn(join(store.path, "peers"));
      const want = listTree(committed(store));
      const began = Date.now();
      peers.run(
        "skopeo",
        "copy",
        "-q",
        save(store, "localhost/changed:1", format),
        "containers-storage:localhost/pulled:1",
      );
      const [image = ""] = peers.run("podman", "images", "-q", "--no-trunc").split("\n");
      assert.equal(peers.podmanRun(image, ["/bin/sh", "-c", "cat /srv/changed; echo $GREETING"]), "changed\nhello");
      const theirs = listTree(peers.run("podman", "image", "mount", image));
      assert.deepEqual(differences(want, withoutStamps(theirs, want, began)), []);
    },
  );
}

test("podman load takes our archives, with the image's name", needs("podman"), async () => {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"));
  store.ok("import", ociFixture("many-layers"), "--name", "localhost/here:1");
  for (const format of ["oci-archive", "docker-archive"] as const) {
    const path = save(store, "localhost/here:1", format).replace(/^[^:]*:/, "");
    assert.match(peers.run("podman", "load", "-q", "-i", path), /localhost\/here:1/, format);
    peers.run("podman", "rmi", "-f", "localhost/here:1");
  }
});

test(
  "podman writes a layer of a sparse file again, if it was committed with --no-sparse",
  needs("podman"),
  async () => {
    await using store = temporaryStore();
    using peers = peersIn(join(store.path, "peers"));
    writeFileSync(join(store.path, "rootfs.tar"), tar(file("f", "x")));
    store.ok("import", "--rootfs", "--name", "localhost/plain:1", join(store.path, "rootfs.tar"));
    const sparse = join(store.mount("localhost/plain:1", "--name", "work"), "sparse");
    writeFileSync(sparse, "x");
    truncateSync(sparse, 1 << 20);
    store.ok("commit", "work", "localhost/holes:1", "--no-sparse");
    const ours = save(store, "localhost/holes:1", "docker-archive");
    peers.run("podman", "load", "-q", "-i", ours.replace(/^[^:]*:/, ""));
    const theirs = `docker-archive:${join(store.path, "theirs.tar")}`;
    peers.run("podman", "save", "-q", "-o", join(store.path, "theirs.tar"), "localhost/holes:1");
    assert.equal(rawConfig(peers, theirs), rawConfig(peers, ours)); // the diffIDs are in it
  },
);

test("buildah builds on a committed image", needs("buildah"), async () => {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"));
  const want = listTree(committed(store));
  const began = Date.now();
  const work = peers.run("buildah", "from", "-q", save(store, "localhost/changed:1", "oci-archive"));
  const theirs = listTree(peers.run("buildah", "mount", work));
  assert.deepEqual(differences(want, withoutStamps(theirs, want, began)), []);
});

test("several images go into one file and come out of it", needs("skopeo"), async () => {
  await using store = temporaryStore();
  store.ok("import", ociFixture("rootfs"), "--name", "localhost/one:1");
  store.ok("import", ociFixture("many-layers"), "--name", "localhost/two:1");
  for (const format of FORMATS) {
    const path = join(store.path, `both-${format}`);
    store.ok("save", "localhost/one:1", "localhost/two:1", "-o", path, "--format", format);
    await using other = temporaryStore();
    const names = other
      .ok("import", path)
      .split("\n")
      .map((line) => line.split(" ")[0]);
    assert.deepEqual(names.sort(), ["localhost/one:1", "localhost/two:1"], format);
  }
});

/** Changes the rootfs image, commits it as "localhost/changed:1", and returns the mounted tree that was committed. */
function committed(store: TestStore): string {
  store.ok("import", ociFixture("rootfs"), "--name", "localhost/base:1");
  const merged = store.mount("localhost/base:1", "--name", "work");
  changeTree(merged);
  store.ok("commit", "work", "localhost/changed:1", "-c", "ENV GREETING=hello", "-m", "a change");
  return merged;
}

/** Adds, changes, removes, renames; makes directories anew. */
function changeTree(merged: string): void {
  const script = `mkdir srv/new; echo changed >srv/changed; cp -a etc/skel srv/new/; rm -r usr/share/doc; mv usr/share/base-files srv/moved
    rm -r etc/skel; mkdir etc/skel; echo new >etc/skel/new; chmod 4755 srv/changed; chown 12:34 srv/new; ln srv/changed srv/hard
    setfattr -n user.u -v v srv/changed; ln -s nowhere srv/soft; mkfifo srv/fifo; touch -d '2001-02-03 04:05:06.5' srv/new srv`;
  const { status, stderr } = spawnSync("sh", ["-ec", script], { cwd: merged, encoding: "utf8" });
  assert.equal(status, 0, stderr);
}
