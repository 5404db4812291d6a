/** A large lower file is copied up beside the other requests, and what happens to it meanwhile holds. */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type FuseMount, mountFuse } from "../helpers/fuse-mount.ts";
import { requires } from "../helpers/requires.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../helpers/temporary.ts";
import { writeTree } from "../helpers/tree.ts";

const MIB = 768;
const skip = requires("root", "fuse");
const timeout = 120_000;

interface Scene extends AsyncDisposable {
  readonly directory: TemporaryDirectory;
  readonly options: string;
  readonly mount: FuseMount;
}

/** `big` is in the lower layer, so large that it takes a while to copy. */
async function openScene(): Promise<Scene> {
  const directory = temporaryDirectory();
  for (const name of ["lower", "upper", "work", "mnt"]) mkdirSync(directory.host(name));
  writeTree(directory.host("lower"), "d/ d/big= d/x=1");
  const big = directory.host("lower", "d", "big");
  execFileSync("dd", ["if=/dev/zero", `of=${big}`, "bs=1M", `count=${MIB}`, "status=none"]);
  const [lower, upper, work] = ["lower", "upper", "work"].map((name) => directory.host(name));
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const mount = await mountFuse(options, directory.host("mnt"));
  return {
    directory,
    options,
    mount,
    async [Symbol.asyncDispose]() {
      await mount[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Opens a file for writing, writes "X" at its start, and says so. */
function startWriter({ directory }: Scene, name = "big"): ChildProcess {
  const path = directory.host("mnt", "d", name);
  return spawn("sh", ["-c", 'exec 3<>"$0" && printf X >&3', path], { stdio: ["ignore", "ignore", "inherit"] });
}

/** The copy has begun, and something of it is there. */
async function copyBegun({ directory }: Scene): Promise<void> {
  const work = directory.host("work", "work");
  for (;;) {
    const sizes = readdirSync(work).map((name) => statSync(`${work}/${name}`, { throwIfNoEntry: false })?.size ?? 0);
    if (Math.max(0, ...sizes) > 0) return;
    await sleep(1);
  }
}

/** Unfinished copies: not the whiteout that others are links to. */
function unfinished({ directory }: Scene): readonly string[] {
  const work = directory.host("work", "work");
  return readdirSync(work).filter((name) => statSync(`${work}/${name}`, { throwIfNoEntry: false })?.isFile());
}

async function exitOf(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.signalCode ?? child.exitCode;
}

function startsWithX(mount: FuseMount, name: string): void {
  assert.equal(mount.sh(`head -c 2 d/${name} | od -An -c | tr -d ' '`), "X\\0");
  assert.equal(mount.sh(`stat -c %s d/${name}`), String(MIB << 20));
}

test("while a large file is copied up for a writer, other requests are answered", { skip, timeout }, async () => {
  await using scene = await openScene();
  const writer = startWriter(scene);
  await copyBegun(scene);
  const copy = scene.directory.host("upper", "d", "big");
  let answered = 0;
  for (; answered < 20; answered++) {
    scene.mount.sh(
      `echo ${answered} >d/new${answered}; cat d/new${answered}; ls d | wc -l; head -c 1 d/big >/dev/null`,
    );
    if (existsSync(copy)) break; // the writer has it: this round may have waited for that
  }
  assert.notEqual(answered, 0);
  assert.equal(await exitOf(writer), 0);
  startsWithX(scene.mount, "big");
  assert.deepEqual(unfinished(scene), []);
});

test("two writers of the file wait for one copy; one renamed it meanwhile, and it is one file", {
  skip,
  timeout,
}, async () => {
  await using scene = await openScene();
  const writers = [startWriter(scene), startWriter(scene)];
  await copyBegun(scene);
  scene.mount.sh("mv d/big d/moved");
  for (const writer of writers) assert.equal(await exitOf(writer), 0);
  startsWithX(scene.mount, "moved");
  assert.equal(scene.mount.sh("ls d"), "moved\nx");
  assert.deepEqual(unfinished(scene), []);
});

test("a file that is removed while it is copied up is gone, and who opened it has it", { skip, timeout }, async () => {
  await using scene = await openScene();
  const writer = startWriter(scene);
  await copyBegun(scene);
  scene.mount.sh("rm d/big; echo other >d/big");
  assert.equal(await exitOf(writer), 0);
  assert.equal(scene.mount.sh("cat d/big"), "other");
  assert.deepEqual(unfinished(scene), []);
});

test("a file that is truncated while it is copied up is empty, and then has what was written", {
  skip,
  timeout,
}, async () => {
  await using scene = await openScene();
  const writer = startWriter(scene);
  await copyBegun(scene);
  scene.mount.sh(": >d/big");
  assert.equal(await exitOf(writer), 0);
  assert.equal(scene.mount.sh("cat d/big"), "X");
  assert.deepEqual(unfinished(scene), []);
});

test("a writer that is interrupted ends at once, and the copy with it", { skip, timeout }, async () => {
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    await using scene = await openScene();
    const writer = startWriter(scene);
    await copyBegun(scene);
    writer.kill(signal);
    assert.equal(await exitOf(writer), signal);
    assert.equal(existsSync(scene.directory.host("upper", "d", "big")), false);
    for (const end = Date.now() + 5000; unfinished(scene).length > 0; await sleep(5)) {
      assert.ok(Date.now() < end, "the copy goes on");
    }
    assert.equal(scene.mount.sh("echo y >>d/x; cat d/x"), "1y");
    assert.equal(await exitOf(startWriter(scene)), 0);
    startsWithX(scene.mount, "big");
  }
});

test("a server that is killed while it copies leaves nothing of it", { skip, timeout }, async () => {
  await using scene = await openScene();
  const writer = startWriter(scene);
  await copyBegun(scene);
  scene.mount.server.kill("SIGKILL");
  assert.notEqual(await exitOf(writer), 0);
  await scene.mount.unmount();
  assert.deepEqual(readdirSync(scene.directory.host("upper")), []);
  await using again = await mountFuse(scene.options, scene.directory.host("mnt"));
  assert.deepEqual(unfinished(scene), []);
  assert.equal(await exitOf(startWriter(scene)), 0);
  startsWithX(again, "big");
});

test("SIGTERM while a file is copied up unmounts, and the writer writes", { skip, timeout }, async () => {
  await using scene = await openScene();
  const writer = startWriter(scene);
  await copyBegun(scene);
  scene.mount.server.kill("SIGTERM");
  assert.equal(await exitOf(writer), 0);
  assert.equal(await exitOf(scene.mount.server), 0);
  assert.equal(statSync(scene.directory.host("upper", "d", "big")).size, MIB << 20);
  assert.deepEqual(unfinished(scene), []);
});
