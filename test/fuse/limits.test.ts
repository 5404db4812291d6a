/** What a server does when something below it has an end: an errno for who asked, nothing half done, and it goes on. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { mountFuse } from "../helpers/fuse-mount.ts";
import { mountsBelow } from "../helpers/leftovers.ts";
import { requires } from "../helpers/requires.ts";
import { smallDisk } from "../helpers/small-disk.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { writeLayers } from "../helpers/tree.ts";
import { writeScene } from "../helpers/union-scene.ts";

/** Opens 1,000 files, `and` does something with each, and says at which errno it ended, with none read back wrong. */
const openMany = (and: string): string => `
  const { openSync, writeSync, readSync, unlinkSync } = require("node:fs");
  const open = [];
  let end = "none";
  try {
    for (let at = 0; at < 1000; at++) {
      const name = "many/" + at;
      open.push(openSync(name, "w+"));
      ${and}
    }
  } catch (error) { end = error.code; }
  const byte = Buffer.alloc(1);
  const isRight = (fd) => writeSync(fd, "x", 0) === 1 && readSync(fd, byte, 0, 1, 0) === 1 && byte.toString() === "x";
  console.log(end, open.length > 100, open.every(isRight));
`;

for (const kind of ["", ",passthrough=off"]) {
  test(`more files are open than the server may have, but for those without a name (${kind || "passthrough"})`, {
    skip: requires("root", "fuse"),
  }, async () => {
    await using directory = temporaryDirectory();
    mkdirSync(join(directory.path, "mnt"));
    const options = writeScene(directory, ["a=1 b=2"]);
    await using mount = await mountFuse(`${options}${kind}`, join(directory.path, "mnt"), 300);
    const open = (and: string): string => mount.sh(`"${process.execPath}" -e '${openMany(and)}'`);
    mount.sh("mkdir many");
    assert.equal(open(""), "none true true");
    assert.equal(open("unlinkSync(name);"), "EMFILE true true");
    assert.equal(mount.sh("echo 3 >>a && cat a && rm -r many b && ls"), "13\na");
  });
}

test("a full disk keeps a copy-up from being made, and not a lower file from being removed", {
  skip: requires("root", "fuse", "program:mkfs.ext4"),
}, async () => {
  await using directory = temporaryDirectory();
  const [lower] = writeLayers(directory.host(), ["a=1 b=2 c=3 d=4 e=5"]);
  await using disk = smallDisk("ext4");
  for (const name of ["upper", "work", "mnt"]) mkdirSync(join(disk.path, name));
  writeFileSync(join(directory.path, "layer0", "large"), Buffer.alloc(40 << 20, "x"));
  const options = `lowerdir=${lower},upperdir=${disk.path}/upper,workdir=${disk.path}/work,aufs=off`;
  await using mount = await mountFuse(options, join(disk.path, "mnt"));
  mount.sh("rm e");
  assert.match(mount.sh("echo >>large; true"), /No space left/);
  assert.equal(mount.sh("stat -c %s large"), String(40 << 20));
  disk.fill();
  assert.match(mount.sh("echo 2 >>a; true"), /No space left/);
  rmSync(join(disk.path, "fill-1"));
  disk.takeInodes();
  assert.match(mount.sh("touch new; true"), /No space left/);
  assert.equal(mount.sh("rm b c && ls"), "a\nd\nlarge");
  assert.deepEqual(readdirSync(join(disk.path, "work", "work")), ["#whiteout"]);
  rmSync(join(disk.path, "inodes-2"), { recursive: true });
  assert.equal(mount.sh("echo 2 >>a && cat a"), "12");
  await mount.unmount();
  assert.deepEqual(readdirSync(join(disk.path, "upper")).sort(), ["a", "b", "c", "e"]);
});

test("a layer that fails is an errno for who looks into it, and what is above it goes on", {
  skip: requires("root", "fuse"),
}, async () => {
  await using directory = temporaryDirectory();
  for (const name of ["lower", "mnt"]) mkdirSync(join(directory.path, name));
  const options = writeScene(directory, ["d/a=1 d/b=2"]);
  await using below = await mountFuse(`lowerdir=${directory.path}/layer0`, join(directory.path, "lower"));
  const above = options.replace("lowerdir=", `lowerdir=${directory.path}/lower:`).replace(/:[^:,]*layer0/, "");
  await using mount = await mountFuse(above, join(directory.path, "mnt"));
  mount.sh("echo 1 >new && ls d");
  below.server.kill("SIGKILL");
  assert.match(
    mount.sh("cat d/a; echo 3 >>d/b; rm d/b; true"),
    /^(.*: (Transport endpoint is not connected|Software caused connection abort)\n?){3}$/,
  );
  assert.equal(mount.sh("mkdir e && mv new e && cat e/new && ls -A d"), "1\na\nb");
  assert.deepEqual(readdirSync(join(directory.path, "work", "work")), []);
});

test("layers, upperdir and workdir that are removed while they are mounted are errors, not an end", {
  skip: requires("root", "fuse"),
}, async () => {
  await using directory = temporaryDirectory();
  mkdirSync(join(directory.path, "mnt"));
  await using mount = await mountFuse(writeScene(directory, ["d/a=1 d/b=2", "c=3"]), join(directory.path, "mnt"));
  mount.sh("echo 1 >new");
  for (const name of ["layer0", "layer1", "upper", "work"]) rmSync(join(directory.path, name), { recursive: true });
  const said = mount.sh("cat d/a; echo 2 >>c; echo 2 >new; echo 1 >other; rm new; mkdir e; mv c f; true");
  assert.match(said, /^(.*: (No such file or directory|File exists|Directory nonexistent)\n?){7}$/);
  assert.equal(mount.sh("stat -f -c %T ."), "fuseblk");
  await mount.unmount();
});

test("SIGTERM takes a mount that is in use away at once, and its server ends with its last user", {
  skip: requires("root", "fuse"),
}, async () => {
  await using directory = temporaryDirectory();
  const target = join(directory.path, "mnt");
  mkdirSync(target);
  await using mount = await mountFuse(writeScene(directory, ["a=1 b=2"]), target);
  const use = "exec 7>open 8>>a && flock 8 && echo ready && read go && echo late >&7 && cat a && ls && rm b";
  const user = spawn("sh", ["-c", use], { cwd: target, stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(user, "close");
  let said = "";
  user.stdout.on("data", (chunk: Buffer) => (said += chunk));
  try {
    while (said === "") await once(user.stdout, "data");
    mount.server.kill("SIGTERM");
    while (mountsBelow(target).length > 0) await sleep(20);
    assert.deepEqual(readdirSync(target), []);
    assert.equal(mount.server.exitCode, null);
    user.stdin.write("go\n");
    await ended;
  } finally {
    user.kill("SIGKILL");
  }
  assert.equal(said, "ready\n1a\nb\nopen\n");
  while (mount.server.exitCode === null) await once(mount.server, "exit");
  assert.deepEqual(readFileSync(join(directory.path, "upper", "open"), "utf8"), "late\n");
});
