/**
 * What is on the disk at some moment, as a power cut would leave it: the image of a mounted file system is copied, and the copy
 * mounted, which recovers its journal.
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, copyFileSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setAttributes } from "../../fuse/union/set-attributes.ts";
import { requires } from "../helpers/requires.ts";
import { smallDisk } from "../helpers/small-disk.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeTree } from "../helpers/tree.ts";
import { nodeAt, openUnion } from "../helpers/union-scene.ts";

const FILES = Array.from({ length: 60 }, (_, at) => `f${at}`);
const CONTENT = "x".repeat(9000);

/** What the upperdir has after a power cut: how many of the files whole, and which otherwise. */
async function afterPowerCut(disk: string): Promise<{ readonly whole: number; readonly spoiled: readonly string[] }> {
  await using directory = temporaryDirectory();
  const [image, mounted] = [join(directory.path, "image"), join(directory.path, "disk")];
  copyFileSync(join(disk, "..", "image"), image);
  mkdirSync(mounted);
  execFileSync("mount", ["-o", "loop", image, mounted]);
  try {
    const names = readdirSync(join(mounted, "upper"));
    const spoiled = names.filter((name) => readFileSync(join(mounted, "upper", name), "latin1") !== CONTENT);
    return { whole: names.length - spoiled.length, spoiled };
  } finally {
    execFileSync("umount", [mounted]);
  }
}

test("after a power cut a copied-up file is whole or is not there, though nothing was synced", {
  skip: requires("root", "program:mkfs.ext4"),
}, async () => {
  await using directory = temporaryDirectory();
  await using disk = smallDisk("ext4");
  mkdirSync(directory.host("lower"));
  writeTree(directory.host("lower"), FILES.map((name) => `${name}=${CONTENT}`).join(" "));
  for (const name of ["upper", "work"]) mkdirSync(join(disk.path, name));
  using union = openUnion(`lowerdir=${directory.host("lower")},upperdir=${disk.path}/upper,workdir=${disk.path}/work`);
  for (const name of FILES) setAttributes(union, nodeAt(union, name), { mode: 0o600 });
  const other = openSync(join(disk.path, "other"), "w"); // what is synced takes the names along: one journal for all
  writeSync(other, "x");
  fsyncSync(other);
  closeSync(other);
  assert.deepEqual(await afterPowerCut(disk.path), { whole: FILES.length, spoiled: [] });
});
