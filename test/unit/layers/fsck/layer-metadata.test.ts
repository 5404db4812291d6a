import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkStore } from "../../../../layers/fsck.ts";
import { importSource } from "../../../../layers/import.ts";
import { Store } from "../../../../layers/store.ts";
import { listLayers } from "../../../../src/meta/layers.ts";
import { bytesOf } from "../../../../src/paths.ts";
import { requires } from "../../../helpers/requires.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

/** What is done to an unpacked layer, as a shell command in it, and what a deep check says then. */
const DAMAGE: readonly (readonly [command: string, message: RegExp])[] = [
  ["chmod 4711 file", /^1 changed: "file"$/],
  ["chown 5:6 file", /^1 changed: "file"$/],
  ["touch -d @1 file", /^1 changed: "file"$/],
  ["setfattr -n user.x -v y file", /^1 changed: "file"$/],
  ["chmod 700 .", /^1 changed: "\/"$/],
  ["ln -sfn elsewhere directory/link", /^2 changed: "directory", "directory\/link"$/],
  ["rm directory/link", /^1 changed: "directory"; 1 missing: "directory\/link"$/],
  ["rmdir directory/empty", /1 missing: "directory\/empty"/],
  ["mknod directory/gone c 0 0", /1 added: "directory\/gone"/],
  ["setfattr -n trusted.overlay.opaque -v y directory", /^1 changed: "directory"$/],
];

test("a deep check finds what changed of a layer besides the content of its files, and a repair takes it away", {
  skip: requires("root", "program:setfattr"),
}, async () => {
  await using directory = temporaryDirectory();
  const source = join(directory.path, "source");
  mkdirSync(join(source, "directory", "empty"), { recursive: true });
  writeFileSync(join(source, "file"), "content");
  symlinkSync("target", join(source, "directory", "link"));
  execFileSync("tar", ["-C", source, "-cf", join(directory.path, "rootfs.tar"), "."]);
  using store = Store.open(directory.host("store"));
  await importSource(store, join(directory.path, "rootfs.tar"), { rootfs: true, name: "base:1" });
  assert.deepEqual((await checkStore(store, { deep: true })).findings, []);
  const tree = join(directory.path, "store", "layers", listLayers(store.db)[0]?.directory ?? "", "diff");
  const whole = join(directory.path, "whole");
  execFileSync("cp", ["-a", tree, whole]);
  for (const [command, message] of DAMAGE) {
    execFileSync("sh", ["-c", command], { cwd: tree });
    const { findings } = await checkStore(store, { deep: true });
    assert.deepEqual(
      findings.map(({ kind }) => kind),
      ["layer-changed"],
      command,
    );
    assert.match(findings[0]?.message ?? "", message, command);
    rmSync(tree, { recursive: true });
    execFileSync("cp", ["-a", whole, tree]);
  }
  assert.deepEqual(readdirSync(bytesOf(store.layout.temporary)), []);
  execFileSync("chmod", ["700", "file"], { cwd: tree });
  const repaired = await checkStore(store, { deep: true, repair: true });
  assert.deepEqual([repaired.isSound, listLayers(store.db)], [true, []]);
});

test("a file with holes costs what its data costs, and a deep check sees what is written into a hole", {
  skip: requires("root"),
}, async () => {
  await using directory = temporaryDirectory();
  const source = join(directory.path, "source");
  mkdirSync(source);
  writeFileSync(join(source, "sparse"), "start");
  truncateSync(join(source, "sparse"), 2 ** 40); // hashing as many zeros would take a quarter of an hour
  execFileSync("tar", ["-C", source, "-S", "--format=posix", "-cf", join(directory.path, "rootfs.tar"), "."]);
  using store = Store.open(directory.host("store"));
  const limits = { maxLayerBytes: 2 ** 41 };
  await importSource(store, join(directory.path, "rootfs.tar"), { rootfs: true, name: "base:1", limits });
  const tree = join(directory.path, "store", "layers", listLayers(store.db)[0]?.directory ?? "", "diff");
  const write = (bytes: string, offset: number): void => {
    const script = `time=$(stat -c %.9Y sparse); printf '${bytes}' | dd of=sparse bs=1 seek=${offset} conv=notrunc status=none; touch -d @$time sparse`;
    execFileSync("sh", ["-euc", script], { cwd: tree });
  };
  write("\\0\\0", 2 ** 39); // a copy of the store may have zeros where this one has a hole
  assert.deepEqual((await checkStore(store, { deep: true })).findings, []);
  write("\\1", 2 ** 39);
  const { findings } = await checkStore(store, { deep: true });
  assert.match(findings[0]?.message ?? "", /^1 changed: "sparse"$/);
});
