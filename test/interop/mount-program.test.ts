/** podman and buildah with `bin/layerctl-fuse` as their mount_program do what they do with fuse-overlayfs. */

import assert from "node:assert/strict";
import { appendFileSync, chmodSync, chownSync, existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ociFixture } from "../helpers/fixture-images.ts";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { mountsBelow } from "../helpers/leftovers.ts";
import { requires } from "../helpers/requires.ts";
import { peersIn } from "./peers.ts";

const LAYERCTL_FUSE = join(dirname(LAYERCTL), "layerctl-fuse");

/** What a container, its commit and a build on top of it show. */
async function workWith(mountProgram: string): Promise<readonly string[]> {
  await using store = temporaryStore();
  using peers = peersIn(join(store.path, "peers"), mountProgram);
  peers.run("podman", "pull", "-q", `oci:${ociFixture("rootfs")}:latest`);
  const [image = ""] = peers.run("podman", "images", "-q").split("\n");
  const container = peers.run("podman", "create", image, "true");
  const tree = peers.run("podman", "mount", container);
  writeFileSync(join(tree, "etc/added"), "added\n");
  chownSync(join(tree, "etc/added"), 1, 2);
  appendFileSync(join(tree, "etc/passwd"), "more\n");
  chmodSync(join(tree, "etc/group"), 0o600);
  rmSync(join(tree, "etc/hostname"), { force: true });
  rmSync(join(tree, "usr/share"), { recursive: true });
  const changes = peers.run("podman", "diff", container).split("\n").sort();
  peers.run("podman", "umount", container);
  peers.run("podman", "commit", "-q", container, "localhost/mine:1");
  writeFileSync(join(store.path, "Containerfile"), "FROM localhost/mine:1\nRUN rm /etc/added && mkdir /usr/share\n");
  const build = [
    "build",
    "-q",
    "--isolation",
    "chroot",
    "-t",
    "localhost/built:1",
    "-f",
    join(store.path, "Containerfile"),
  ];
  peers.run("buildah", ...build, join(store.path));
  const shown = peers.podmanRun("localhost/mine:1", [
    "sh",
    "-c",
    "tail -n1 /etc/passwd; stat -c '%a %u:%g' /etc/added /etc/group",
  ]);
  const built = peers.run("podman", "image", "mount", "localhost/built:1");
  const has = ["etc/added", "etc/passwd", "usr/share", "usr/share/doc"].map(
    (name) => `${name} ${existsSync(join(built, name))}`,
  );
  peers.run("podman", "image", "umount", "localhost/built:1");
  peers.run("podman", "rm", container);
  peers.run("podman", "rmi", "-a");
  assert.deepEqual(
    mountsBelow(store.path).filter((target) => target.endsWith("/merged")),
    [],
  );
  return [...changes, ...shown.split("\n"), ...has];
}

test("podman and buildah work with it as with fuse-overlayfs: create, diff, commit, build, run, remove", {
  skip: requires("root", "fuse", "program:podman", "program:buildah", "program:crun", "program:fuse-overlayfs"),
  timeout: 600_000,
}, async () => {
  assert.ok(statSync(LAYERCTL_FUSE).mode & 0o111);
  const ours = await workWith(LAYERCTL_FUSE);
  assert.deepEqual(ours.slice(-7), [
    "more",
    "644 1:2",
    "600 0:0",
    "etc/added false",
    "etc/passwd true",
    "usr/share true",
    "usr/share/doc false",
  ]);
  assert.deepEqual(ours, await workWith("/usr/bin/fuse-overlayfs"));
});
