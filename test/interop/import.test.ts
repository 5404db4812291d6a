/** What skopeo, umoci, podman and buildah write we import, and the merged tree is the one that they show themselves. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { differences, listTree, withoutStamps } from "../helpers/compare.ts";
import { dockerFixture, type FixtureName, ociFixture } from "../helpers/fixture-images.ts";
import { type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { peersIn } from "./peers.ts";

const needs = (...programs: readonly string[]): { skip: string | false } => ({
  skip: requires("root", "overlay", ...programs.map((name) => `program:${name}` as const)),
});

/** The chainID of the whole stack: equal ones are equal trees. */
function chainOf(store: TestStore, reference: string): string {
  const { layers } = JSON.parse(store.ok("--json", "layers", reference)) as { layers: { chainId: string }[] };
  return layers.at(-1)?.chainId ?? "";
}

/** Imports under the name "localhost/here:1". */
function importAs(store: TestStore, source: string): void {
  store.ok("import", source, "--name", "localhost/here:1");
}

for (const name of ["rootfs", "changes", "many-layers"] as const satisfies readonly FixtureName[]) {
  test(`the merged tree of ${name} is what umoci unpacks`, needs("umoci", "skopeo"), async () => {
    await using store = temporaryStore();
    using peers = peersIn(join(store.path, "peers"));
    peers.run("umoci", "unpack", "--image", `${ociFixture(name)}:latest`, join(store.path, "bundle"));
    importAs(store, ociFixture(name));
    const merged = listTree(store.mount("localhost/here:1"));
    assert.deepEqual(differences(merged, listTree(join(store.path, "bundle", "rootfs"))), []);
  });
}

test("the merged tree of changes is what podman mounts", needs("podman"), async () => {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"));
  const began = Date.now();
  peers.run("podman", "load", "-q", "-i", dockerFixture("changes"));
  const theirs = listTree(peers.run("podman", "image", "mount", "localhost/fixture/changes:latest"));
  importAs(store, dockerFixture("changes"));
  const merged = listTree(store.mount("localhost/here:1"));
  assert.deepEqual(differences(merged, withoutStamps(theirs, merged, began)), []);
});

test("an image of buildah, with a layer of its own making, is what buildah mounts", needs("buildah"), async () => {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"));
  const began = Date.now();
  const base = peers.run("buildah", "from", `oci:${ociFixture("many-layers")}:latest`);
  const tree = peers.run("buildah", "mount", base);
  peers.run("buildah", "copy", "--chown", "12:34", base, import.meta.dirname, "/new/copied");
  const theirs = listTree(tree);
  peers.run("buildah", "commit", "-q", "--format", "docker", base, `docker-archive:${join(store.path, "image.tar")}`);
  importAs(store, join(store.path, "image.tar"));
  const merged = listTree(store.mount("localhost/here:1"));
  assert.deepEqual(differences(merged, withoutStamps(theirs, merged, began)), []);
});

test("one image in every form that the tools write has the same layers", needs("skopeo", "podman"), async () => {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"));
  const from = `oci:${ociFixture("many-layers")}:latest`;
  const path = (name: string): string => join(store.path, name);
  peers.run("skopeo", "copy", "-q", from, `oci-archive:${path("skopeo-oci.tar")}:localhost/a:1`);
  peers.run("skopeo", "copy", "-q", from, `docker-archive:${path("skopeo-docker.tar")}:localhost/a:1`);
  peers.run("podman", "load", "-q", "-i", path("skopeo-docker.tar"));
  peers.run("podman", "save", "-q", "--format", "docker-archive", "-o", path("podman-docker.tar"), "localhost/a:1");
  peers.run("podman", "save", "-q", "--format", "oci-archive", "-o", path("podman-oci.tar"), "localhost/a:1");
  peers.run("podman", "save", "-q", "--format", "oci-dir", "-o", path("podman-oci"), "localhost/a:1");
  importAs(store, ociFixture("many-layers"));
  const want = chainOf(store, "localhost/here:1");
  const sources = ["skopeo-oci.tar", "skopeo-docker.tar", "podman-docker.tar", "podman-oci.tar", "podman-oci"].map(
    path,
  );
  for (const source of [...sources, ociFixture("many-layers", "zstd"), dockerFixture("many-layers")]) {
    importAs(store, source);
    assert.equal(chainOf(store, "localhost/here:1"), want, source);
  }
});

test("several images in one docker-archive keep their names and their layers", needs("skopeo", "podman"), async () => {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"));
  for (const name of ["rootfs", "small-files"] as const) peers.run("podman", "load", "-q", "-i", dockerFixture(name));
  const names = ["localhost/fixture/rootfs:latest", "localhost/fixture/small-files:latest"];
  peers.run("podman", "save", "-q", "-m", "-o", join(store.path, "both.tar"), ...names);
  const lines = store.ok("import", join(store.path, "both.tar")).split("\n");
  assert.deepEqual(lines.map((line) => line.split(" ")[0]).sort(), names);
  for (const name of names) {
    const fixture = name.includes("rootfs") ? "rootfs" : "small-files";
    store.ok("import", ociFixture(fixture), "--name", `localhost/want/${fixture}:1`);
    assert.equal(chainOf(store, name), chainOf(store, `localhost/want/${fixture}:1`));
  }
});

test("the manifest's digest is the source's own", needs("skopeo"), async () => {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"));
  const line = store.ok("import", ociFixture("rootfs"), "--name", "localhost/here:1");
  const digest = peers.run("skopeo", "inspect", "--format", "{{.Digest}}", `oci:${ociFixture("rootfs")}:latest`);
  assert.equal(line, `localhost/here:1 ${digest}`);
});
