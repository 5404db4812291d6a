/** What commands do where there is no store, as after a mistyped --root. */

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { temporaryStore } from "../helpers/layerctl.ts";
import { file, tar } from "../helpers/tar-builder.ts";

/** With what they print as JSON. */
const LISTS = [
  [["images"], { images: [] }],
  [["mounts"], { snapshots: [] }],
  [["gc"], { dryRun: false, removed: [], freedBytes: 0 }],
  [["gc", "--dry-run"], { dryRun: true, removed: [], freedBytes: 0 }],
] as const;

const ASKERS = [
  ["layers", "debian"],
  ["inspect", "debian"],
  ["history", "debian"],
  ["tag", "debian", "other"],
  ["rmi", "debian"],
  ["mount", "debian"],
  ["umount", "work"],
  ["rm", "work"],
  ["diff", "work"],
  ["commit", "work", "debian:mine"],
  ["save", "debian", "-o", "/dev/null"],
  ["export", "debian", "-o", "/dev/null"],
  ["fsck"],
] as const;

test("a list of what is in no store is empty, says that there is none, and makes none", async () => {
  await using store = temporaryStore();
  for (const [args, document] of LISTS) {
    const asText = store.run(args);
    assert.equal(asText.exitCode, 0, args[0]);
    assert.equal(asText.stderr, `layerctl: there is no store at "${store.root}" yet; "layerctl import" makes one\n`);
    const asJson = store.run([...args, "--json"]);
    assert.deepEqual(JSON.parse(asJson.stdout.toString()), document);
    assert.deepEqual(JSON.parse(asJson.stderr), { level: "info", event: "store.none", path: store.root });
    assert.deepEqual(store.run([...args, "--quiet"]).stderr, "");
  }
  assert.match(store.ok("images"), /^REFERENCE +DIGEST.*$/);
  assert.match(store.ok("du"), /^layers +0 B +0 B +0 B +0 B$/m);
  assert.equal(JSON.parse(store.ok("du", "--json")).layers.totalBytes, 0);
  assert.equal(existsSync(store.root), false);
});

test("who names something in no store, or has it checked, is told that there is none, and none is made", async () => {
  await using store = temporaryStore();
  for (const args of ASKERS) {
    const { exitCode, stdout, stderr } = store.run(args);
    assert.deepEqual([exitCode, stdout.length], [3, 0], args[0]);
    assert.match(
      stderr,
      /^layerctl: Cannot open store ".*\/store": there is none \(ERR_STORE_NOT_FOUND\)\n {2}Next: .*--root/,
    );
  }
  assert.equal(existsSync(store.root), false);
});

test("an import of what is no image makes no store", async () => {
  await using store = temporaryStore();
  const path = (name: string): string => join(store.path, name);
  mkdirSync(path("directory"));
  writeFileSync(path("text"), "not a tar".repeat(100));
  writeFileSync(path("text.gz"), gzipSync("not a tar".repeat(100)));
  writeFileSync(path("rootfs.tar"), tar(file("etc/passwd")));
  writeFileSync(path("rootfs.tar.gz"), gzipSync(tar(file("etc/passwd"))));
  for (const [source, exitCode] of [
    ["missing", 3],
    ["directory", 5],
    ["text", 5],
    ["text.gz", 5],
    ["rootfs.tar", 5],
  ] as const) {
    const outcome = store.run(["import", path(source)]);
    assert.deepEqual([outcome.exitCode, existsSync(store.root)], [exitCode, false], source);
  }
  assert.equal(store.run(["import", path("rootfs.tar"), "--rootfs", "--name", "Bad Name"]).exitCode, 2);
  assert.equal(store.run(["import", path("rootfs.tar.gz")]).exitCode, 5);
  for (const name of ["text", "text.gz", "rootfs.tar", "rootfs.tar.gz"]) {
    const input = readFileSync(path(name));
    const outcome = store.run(["import", "-"], { input });
    assert.deepEqual([outcome.exitCode, existsSync(store.root)], [5, false], `${name} from standard input`);
  }
  assert.deepEqual(
    readdirSync(store.path).filter((name) => name.startsWith(".")),
    [],
  );
  assert.equal(existsSync(store.root), false);
});
