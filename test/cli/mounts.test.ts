import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";

test("the table of mounts says which backend shows each", { skip: requires("root", "fuse") }, async () => {
  await using store = temporaryStore();
  const rootfs = join(store.path, "rootfs");
  mkdirSync(rootfs);
  writeFileSync(join(rootfs, "file"), "x");
  execFileSync("tar", ["-C", rootfs, "-cf", `${rootfs}.tar`, "."]);
  store.ok("import", "--rootfs", "--name", "base:1", `${rootfs}.tar`);
  for (const backend of ["kernel", "fuse"]) store.ok("mount", "base:1", "--name", backend, "--backend", backend);
  store.ok("mount", "base:1", "--name", "none");
  store.ok("umount", "none");
  const [headings = "", ...rows] = store.ok("mounts").trimEnd().split("\n");
  assert.match(headings, /^NAME +IMAGE +KIND +BACKEND +TARGET/);
  const columns = rows.map((row) => row.split(/ +/)).map(([name, , , backend]) => `${name} ${backend}`);
  assert.deepEqual(columns.toSorted(), ["fuse fuse", "kernel kernel", "none -"]);
});
