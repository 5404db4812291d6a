/** A disk that is full names itself: what was being written, and what to do about it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LAYERCTL, type Outcome, runLayerctl, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { smallDisk } from "../helpers/small-disk.ts";
import { file, tar } from "../helpers/tar-builder.ts";

const BIG = tar(file("big", randomBytes(4 << 20)));

function assertFull({ exitCode, stderr }: Outcome, path: string, next: RegExp): void {
  const [first = "", second = ""] = stderr.split("\n");
  assert.equal(exitCode, 7, stderr);
  assert.match(first, /^layerctl: Cannot [a-z0-9]+ ".*": no space left on device \(ENOSPC\)$/);
  assert.ok(first.includes(`"${path}`), `${first}: not ${path}`);
  assert.match(second, next);
}

test("a full disk is named by what is written to it from a store elsewhere", { skip: requires("root") }, async () => {
  await using store = temporaryStore();
  await using disk = smallDisk("tmpfs");
  const source = join(store.path, "big.tar");
  writeFileSync(source, BIG);
  store.ok("import", source, "--rootfs", "--name", "here:1");
  disk.fill();
  const before = readdirSync(disk.path);
  const destination = join(disk.path, "out.tar");
  for (const args of [
    ["save", "here:1", "-o", destination],
    ["save", "here:1", "-o", destination, "--format", "docker-archive"],
    ["save", "here:1", "-o", join(disk.path, "layout/")],
    ["export", "here:1", "-o", destination],
    ["diff", "here:1", "--tar", destination],
  ]) {
    const path = args[3]?.endsWith("/") ? join(disk.path, "layout") : `${destination}"`;
    assertFull(store.run(args), path, /^ {2}Next: free some space there \(df, df -i\)$/);
    assert.deepEqual(readdirSync(disk.path), before, args.join(" "));
  }
  const { error } = JSON.parse(store.run(["export", "here:1", "-o", destination, "--json"]).stderr);
  assert.deepEqual([error.code, error.data], ["ENOSPC", { path: destination }]);
  for (const args of [["images"], ["export", "here:1", "-o", "-"], ["save", "here:1", "-o", "-"]]) {
    const words = ["-c", 'exec "$0" "$@" >/dev/full', LAYERCTL, "--root", store.root, ...args];
    const { status, stdout, stderr } = spawnSync("sh", words);
    assertFull(
      { exitCode: status ?? -1, stdout, stderr: stderr.toString() },
      "standard output",
      /^ {2}Next: free some/,
    );
  }
});

test("a store on a full disk is named by import and commit, and nothing unfinished stays in it", {
  skip: requires("root", "overlay"),
}, async () => {
  await using disk = smallDisk("tmpfs");
  await using beside = temporaryStore();
  const root = join(disk.path, "store");
  const run = (...args: string[]): Outcome => runLayerctl(["--root", root, ...args]);
  const [small, big] = [join(beside.path, "small.tar"), join(beside.path, "big.tar")];
  writeFileSync(small, tar(file("f", "content")));
  writeFileSync(big, BIG);
  assert.equal(run("import", small, "--rootfs", "--name", "here:1").exitCode, 0);
  const tree = run("mount", "here:1", "--name", "work").stdout.toString().trimEnd();
  writeFileSync(join(tree, "change"), randomBytes(2 << 20));
  assert.equal(run("umount", "work").exitCode, 0);
  disk.fill();
  const next =
    /^ {2}Next: free some space there \(df, df -i\): "layerctl gc", "layerctl rm" and "layerctl rmi" work all/;
  assertFull(run("import", big, "--rootfs", "--name", "here:2"), root, next);
  assertFull(run("commit", "work", "here:3"), root, next);
  assert.deepEqual(readdirSync(join(root, "tmp")), []);
  const piped = `cat "$1" | "$0" --root "$2" import - --rootfs --name here:2`; // kept in the store until it is read
  const { status, stdout, stderr } = spawnSync("sh", ["-c", piped, LAYERCTL, big, root]);
  assertFull({ exitCode: status ?? -1, stdout, stderr: stderr.toString() }, root, next);
  assert.deepEqual(readdirSync(join(root, "tmp")), []);
});
