/** What a snapshot changed, when it was mounted with other options before, or has an init layer. */

import assert from "node:assert/strict";
import { chmodSync, linkSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { IMAGE, NEEDS_MOUNT, storeWith } from "../fidelity/merged.ts";
import type { TestStore } from "../helpers/layerctl.ts";
import { directory, file, hardlink, pax, tar } from "../helpers/tar-builder.ts";

/** A file with three names, in two directories. */
const LINKED = tar(directory("./"), directory("d/"), file("d/a", "1"), hardlink("d/b", "d/a"), hardlink("c", "d/a"));

/** What `layerctl diff` prints, without the times of directories. */
function diff(store: TestStore, ...subjects: readonly string[]): string {
  const { changes } = JSON.parse(store.ok("--json", "diff", ...subjects)) as {
    changes: { kind: string; path: string; what: string[] }[];
  };
  const told = changes.filter(({ what }) => what.join() !== "mtime");
  return told.map(({ kind, path }) => `${kind} ${path}`).join(", ");
}

/** The names of the file in the mounted tree of an image or snapshot, with their modes. */
function modes(merged: string): string {
  return ["c", "d/a", "d/b"].map((name) => (lstatSync(join(merged, name)).mode & 0o777).toString(8)).join(" ");
}

for (const [before, after] of [
  ["index=off", "index=on"],
  ["index=on", "index=off"],
  ["index=on", "xino=off"],
] as const) {
  test(`a change after a mount with ${before} is seen as a mount with ${after} shows it`, NEEDS_MOUNT, async () => {
    await using store = storeWith(LINKED);
    chmodSync(join(store.mount(IMAGE, "--name", "work", "-o", before), "d/a"), 0o600);
    store.ok("umount", "work");
    const merged = store.mount("work", "-o", after);
    chmodSync(join(merged, "d/b"), 0o640);
    const shown = modes(merged);
    store.ok("commit", "work", "made");
    store.ok("umount", "work");
    store.ok("commit", "work", "unmounted");
    assert.equal(modes(store.mount("made")), shown);
    assert.equal(modes(store.mount("unmounted")), shown);
    assert.equal(modes(store.mount("work")), shown, "mounted again without options it goes on as it was");
  });
}

test("volatile is only of the mount that asks for it", NEEDS_MOUNT, async () => {
  await using store = storeWith(LINKED);
  store.mount(IMAGE, "--name", "work");
  store.ok("umount", "work");
  store.mount("work", "-o", "volatile,index=on");
  store.ok("umount", "work");
  store.mount("work");
  const { snapshots } = JSON.parse(store.ok("--json", "mounts")) as { snapshots: { options: string }[] };
  assert.equal(snapshots[0]?.options, "index=on");
});

test(
  "with index=on a file of the lower layer changes under all its names, the init layer under none",
  NEEDS_MOUNT,
  async () => {
    await using store = storeWith(LINKED);
    const merged = store.mount(IMAGE, "--name", "work", "--init", "-o", "index=on");
    chmodSync(join(merged, "d/a"), 0o600);
    assert.equal(diff(store, "work"), "C /c, C /d/a, C /d/b");
    assert.equal(diff(store, IMAGE, "work"), "C /c, C /d/a, C /d/b");
  },
);

test("a file in a renamed directory stays the same file as its names elsewhere", NEEDS_MOUNT, async () => {
  const lower = tar(directory("d/"), file("d/a", "1"), hardlink("d/b", "d/a"), directory("x/"), hardlink("x/c", "d/a"));
  await using store = storeWith(lower);
  const merged = store.mount(IMAGE, "--name", "work", "-o", "redirect_dir=on");
  renameSync(join(merged, "d"), join(merged, "e"));
  assert.equal(diff(store, "work"), "D /d, A /e, A /e/a, A /e/b, C /x/c");
  assert.equal(diff(store, IMAGE, "work"), diff(store, "work"));
  assert.equal(diff(store, "work", IMAGE), "A /d, A /d/a, A /d/b, D /e, C /x/c");
  store.ok("commit", "work", "made");
  assert.equal(diff(store, IMAGE, "made"), diff(store, "work"));
  const made = store.mount("made");
  assert.equal(lstatSync(join(made, "x/c")).nlink, 3);
  assert.equal(lstatSync(join(made, "x/c")).ino, lstatSync(join(made, "e/b")).ino);
});

test("the init layer is no part of a comparison, what the user did to it is", NEEDS_MOUNT, async () => {
  await using store = storeWith(LINKED);
  const merged = store.mount(IMAGE, "--name", "work", "--init", "-o", "redirect_dir=on");
  mkdirSync(join(merged, "dev/pts/1"));
  writeFileSync(join(merged, "etc/hosts"), "127.0.0.1 here\n");
  rmSync(join(merged, "etc/hostname"));
  rmSync(join(merged, "proc"), { recursive: true });
  renameSync(join(merged, "sys"), join(merged, "moved"));
  linkSync(join(merged, ".dockerenv"), join(merged, "linked"));
  const changes = "A /.dockerenv, A /dev, A /dev/pts, A /dev/pts/1, A /etc, A /etc/hosts, A /linked, A /moved";
  assert.equal(diff(store, "work"), changes);
  assert.equal(diff(store, IMAGE, "work"), changes);
  assert.equal(diff(store, "work", IMAGE), "D /.dockerenv, D /dev, D /etc, D /linked, D /moved");
  store.ok("commit", "work", "made");
  assert.equal(diff(store, IMAGE, "made"), changes);
  assert.equal(diff(store, "work", "made"), "");
});

test("a layer whose data userxattr would take for its own marks is not mounted so", NEEDS_MOUNT, async () => {
  const mark = pax({ "SCHILY.xattr.user.overlay.opaque": "y" });
  await using store = storeWith(tar(directory("d/"), file("d/x", "1")), tar(mark, directory("d/"), file("d/y", "2")));
  assert.deepEqual(readdirSync(join(store.mount(IMAGE), "d")), ["x", "y"]);
  const { exitCode, stderr } = store.run(["mount", IMAGE, "-o", "userxattr"]);
  assert.equal(exitCode, 6, stderr);
  assert.match(stderr, /ERR_USERXATTR_OPAQUE/);
});
