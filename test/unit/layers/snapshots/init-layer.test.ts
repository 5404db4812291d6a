import assert from "node:assert/strict";
import { chmodSync, mkdirSync, statSync, utimesSync } from "node:fs";
import { test } from "node:test";
import { makeInitLayer } from "../../../../layers/snapshots/init-layer.ts";
import { MergedTree } from "../../../../src/overlay/merged-tree.ts";
import { joinHost } from "../../../../src/paths.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { listTree, writeTree } from "../../../helpers/tree.ts";

async function stubsOver(notation: string): Promise<string> {
  await using directory = temporaryDirectory();
  writeTree(directory.host("image"), notation);
  mkdirSync(directory.host("init"));
  makeInitLayer(directory.host("init"), new MergedTree([directory.host("image")]));
  return listTree(directory.host("init"));
}

test("an empty image gets every stub", async () => {
  const expected =
    ".dockerenv= dev/ dev/console= dev/pts/ dev/shm/ etc/ etc/hostname= etc/hosts= etc/mtab->/proc/mounts " +
    "etc/resolv.conf= proc/ sys/";
  assert.equal(await stubsOver(""), expected);
});

test("what the image has is left to the image, whatever it is", async () => {
  const image = "dev/ proc/x=1 sys->dev etc/hosts=1 etc/hostname/ etc/resolv.conf->nowhere etc/mtab=1 .dockerenv/";
  assert.equal(await stubsOver(image), "dev/ dev/console= dev/pts/ dev/shm/");
});

test("a directory that the image has as something else gets no stubs in it", async () => {
  assert.equal(await stubsOver("dev->elsewhere etc=1 proc/ sys/ .dockerenv=1"), "");
});

test("directories of the image keep their looks", async () => {
  await using directory = temporaryDirectory();
  writeTree(directory.host("image"), "etc/");
  const image = directory.host("image");
  chmodSync(joinHost(image, "etc"), 0o1750);
  chmodSync(image, 0o711);
  for (const path of [joinHost(image, "etc"), image]) utimesSync(path, 1000, 2000);
  mkdirSync(directory.host("init"));
  makeInitLayer(directory.host("init"), new MergedTree([image]));
  const looks = (path: string): unknown => [(statSync(path).mode & 0o7777).toString(8), statSync(path).mtimeMs];
  assert.deepEqual(looks(directory.host("init", "etc")), ["1750", 2_000_000]);
  assert.deepEqual(looks(directory.host("init")), ["711", 2_000_000]);
});
