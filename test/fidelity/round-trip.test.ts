/** What goes in comes out: a changed tree through commit, save and import again, and through export and GNU tar. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { differences, listTree } from "../helpers/compare.ts";
import { runLayerctl, type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { directory, file, hardlink, pax, symlink, tar } from "../helpers/tar-builder.ts";
import { IMAGE, NEEDS_MOUNT, storeWith, tool } from "./merged.ts";

const BASE = tar(
  directory("./", { mtime: 5 }),
  directory("d/", { mtime: 10 }),
  file("d/a", "a", { mtime: 11 }),
  file("d/b", "b"),
  directory("gone/"),
  file("gone/x", "x"),
  directory("old-name/", { mtime: 12 }),
  file("old-name/in", "moved"),
  file("linked", "linked"),
  hardlink("d/linked", "linked"),
  symlink("s", "d"),
  pax({ "SCHILY.xattr.user.u": "v", "SCHILY.xattr.trusted.overlay.opaque": "y" }),
  directory("nested/"),
);

/** A change of every kind, as the user of a container makes it. */
const CHANGE = `
  printf changed >d/a; rm d/b; rm -r gone; mkdir gone; printf new >gone/new
  mv old-name new-name; ln linked another; chmod 4750 linked; chown 12:34 linked
  setfattr -n user.bin -v 0x00ff0a3d d; setfattr -n trusted.t -v v d/a; setfattr -h -n trusted.l -v v s
  setfacl -m u:1234:rw d/a; setfacl -d -m g:99:rx d; setcap cap_net_raw+ep d/a
  mknod c c 5 1; mknod b b 7 300; mkfifo fifo
  truncate -s 4M sparse; printf tail >>sparse
  printf x >"$(printf 'odd\\377\\nname')"; printf x >"$(printf 'n%.0s' $(seq 255))"
  ln -sfn nowhere s; touch -d '2001-02-03 04:05:06.123456789' d/a fifo; touch -h -d @1.000000009 s
  touch -d '1969-01-01 00:00:00.5' gone; touch -d @7 . `;

function change(store: TestStore, ...options: readonly string[]): string {
  const merged = store.mount(IMAGE, "--name", "work", ...options);
  tool(merged, "sh", "-ec", CHANGE);
  return merged;
}

const MOUNT_OPTIONS: readonly (readonly string[])[] = [
  [],
  ["-o", "redirect_dir=on"],
  ["-o", "metacopy=on,redirect_dir=on"],
  ["-o", "index=on"],
];

for (const options of MOUNT_OPTIONS) {
  test(
    `a commit made with [${options.join(" ")}] is the tree that was committed, in another store too`,
    NEEDS_MOUNT,
    async () => {
      await using store = storeWith(BASE);
      const merged = change(store, ...options);
      const want = listTree(merged);
      store.ok("commit", "work", "localhost/changed:1");
      assert.deepEqual(differences(listTree(store.mount("localhost/changed:1")), want), []);
      await using other = temporaryStore();
      store.ok("save", "localhost/changed:1", "-o", join(other.path, "image.tar"), "--format", "oci-archive");
      other.ok("import", join(other.path, "image.tar"));
      assert.deepEqual(differences(listTree(other.mount("localhost/changed:1")), want), []);
    },
  );
}

/** Directories whose time bsdtar 3.6 gets wrong: it leaves the one it is in alone, and adds a negative time's fraction. */
const BSDTAR_TIMES = [".", "gone"];

test("the exported tar restores the merged tree with GNU tar and with bsdtar", {
  skip: requires("root", "overlay", "program:tar", "program:bsdtar"),
}, async () => {
  await using store = storeWith(BASE);
  const want = listTree(change(store));
  const archive = join(store.path, "export.tar");
  store.ok("export", "work", "-o", archive);
  const extract: readonly (readonly string[])[] = [
    ["tar", "--xattrs", "--xattrs-include=*", "--acls", "--same-owner", "-xpf", archive],
    ["bsdtar", "--xattrs", "--acls", "-xpf", archive],
  ];
  for (const [program = "", ...args] of extract) {
    const target = join(store.path, program);
    mkdirSync(target);
    tool(target, program, "--numeric-owner", ...args);
    const known = program === "bsdtar" ? BSDTAR_TIMES : [];
    const found = differences(listTree(target), want);
    assert.deepEqual(
      found.filter((line) => !known.some((path) => line.startsWith(`${path}: directory`))),
      [],
      program,
    );
  }
});

test("the exported tar goes to standard output as well, and imports with --rootfs", NEEDS_MOUNT, async () => {
  await using store = storeWith(BASE);
  const want = listTree(change(store));
  const { stdout, exitCode } = store.run(["export", "work", "-o", "-"]);
  assert.equal(exitCode, 0);
  await using other = temporaryStore();
  const outcome = other.run(["import", "-", "--rootfs", "--name", "localhost/rootfs:1"], { input: stdout });
  assert.equal(outcome.exitCode, 0, outcome.stderr);
  assert.deepEqual(differences(listTree(other.mount("localhost/rootfs:1")), want), []);
});

test(
  "the layer that diff writes is the committed layer, and a valid tar to GNU tar and bsdtar",
  NEEDS_MOUNT,
  async () => {
    await using store = storeWith(BASE);
    change(store);
    const layer = join(store.path, "layer.tar");
    store.ok("diff", "work", "--tar", layer);
    const gnu = tool(store.path, "tar", "-tf", layer).split("\n");
    const bsd = tool(store.path, "bsdtar", "-tf", layer).split("\n");
    assert.equal(gnu.length, bsd.length);
    assert.ok(gnu.includes("d/.wh.b"));
    assert.ok(gnu.includes(".wh.old-name"));
    assert.ok(gnu.includes("gone/.wh.x") || gnu.includes("gone/.wh..wh..opq"), "what was in the directory is hidden");
  },
);

test("the same change gives the same digest in another store at another time", NEEDS_MOUNT, async () => {
  const digests: string[] = [];
  for (const epoch of ["1600000000", "1600000000"]) {
    await using store = storeWith(BASE);
    const merged = store.mount(IMAGE, "--name", "work");
    tool(merged, "sh", "-ec", "printf x >z; printf y >a; mkdir m; printf z >m/n; rm -r gone; chmod 700 d");
    const outcome = store.run(["commit", "work", "localhost/changed:1"], { env: { SOURCE_DATE_EPOCH: epoch } });
    assert.equal(outcome.exitCode, 0, outcome.stderr);
    digests.push(outcome.stdout.toString());
  }
  assert.equal(digests[0], digests[1]);
});

for (const compression of ["gzip", "zstd", "none"]) {
  test(`a commit compressed with ${compression} unpacks to the same tree`, NEEDS_MOUNT, async () => {
    await using store = storeWith(BASE);
    const want = listTree(change(store));
    store.ok("commit", "work", "localhost/changed:1", "--compression", compression);
    assert.deepEqual(differences(listTree(store.mount("localhost/changed:1")), want), []);
  });
}

test("a socket, which no tar can hold, is named when it is left out", NEEDS_MOUNT, async () => {
  await using store = storeWith(BASE);
  const merged = store.mount(IMAGE, "--name", "work");
  writeFileSync(join(merged, "beside"), "x");
  const bind = 'require("net").createServer().listen("socket", () => process.kill(process.pid, "SIGKILL"))';
  spawnSync(process.execPath, ["-e", bind], { cwd: merged });
  assert.ok(lstatSync(join(merged, "socket")).isSocket());
  const outcome = runLayerctl(["--root", store.root, "commit", "work", "localhost/changed:1"]);
  assert.equal(outcome.exitCode, 0, outcome.stderr);
  assert.match(outcome.stderr, /socket/);
});
