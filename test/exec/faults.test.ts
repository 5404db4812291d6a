/** A launcher that is killed leaves nothing that the next command does not take away. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxStore, type ContainerStore, cgroupsOf, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL, type Outcome, runLayerctl } from "../helpers/layerctl.ts";
import { mountsBelow } from "../helpers/leftovers.ts";
import { smallDisk } from "../helpers/small-disk.ts";

const STEPS = 16;

/** `layerctl run` killed after a time: whether it was still there. */
async function killAfter(store: ContainerStore, delayMs: number, options: readonly string[] = []): Promise<boolean> {
  const args = ["--root", store.root, "run", "--rm", ...options, "bb:1", "sleep", "4711"];
  const child = spawn(LAYERCTL, args, { stdio: "ignore" });
  await sleep(delayMs);
  const isThere = child.exitCode === null;
  child.kill("SIGKILL");
  await once(child, "exit");
  return isThere;
}

/** What is there when the kernel has ended what died with the launcher. */
async function settledTraces(store: ContainerStore): Promise<readonly string[]> {
  for (let turn = 0; turn < 100; turn++) {
    const processes = tracesOf(store).filter((trace) => trace.startsWith("process"));
    if (processes.length === 0) break;
    await sleep(20);
  }
  return tracesOf(store);
}

test("a launcher killed at any step of start-up leaves nothing behind", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  store.shell("true"); // everything is in the page cache now
  const begun = Date.now();
  store.shell("true");
  const wholeMs = Date.now() - begun;
  for (let step = 1; step <= STEPS; step++) {
    assert.equal(await killAfter(store, (wholeMs * step) / STEPS), true);
    const processes = (await settledTraces(store)).filter((trace) => trace.startsWith("process"));
    assert.deepEqual(processes, [], `killed in step ${step}`);
  }
  store.shell("true"); // finishes what the killed ones left
  assert.deepEqual(tracesOf(store), []);
  store.ok("gc");
  assert.equal(store.ok("mounts", "--json").includes('"name"'), false);
  assert.deepEqual(readdirSync(join(store.root, "snapshots")), []);
  assert.match(store.ok("fsck"), /sound/);
});

test("two containers of one name: the second is refused, and the first goes on", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const first = spawn(
    LAYERCTL,
    ["--root", store.root, "run", "-i", "--name", "one", "bb:1", "sh", "-c", "echo ready; read x; exit 0"],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  await once(first.stdout ?? first, "data");
  const second = store.run(["run", "--name", "one", "bb:1", "true"]);
  assert.equal(second.exitCode, 125);
  assert.match(second.stderr, /a container has this name.*ERR_CONTAINER_EXISTS/);
  assert.equal(store.run(["rm", "one"]).exitCode, 4);
  first.stdin?.end();
  assert.deepEqual(await once(first, "close"), [0, null]);
  assert.deepEqual(tracesOf(store), []);
  store.ok("rm", "one");
});

test("diff and commit work on a container while it runs and when it has ended", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const script = "echo hi >/made; echo ready; read x";
  const child = spawn(LAYERCTL, ["--root", store.root, "run", "-i", "--name", "work", "bb:1", "sh", "-c", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(child.stdout ?? child, "data");
  assert.match(store.ok("diff", "work"), /^(?:C \/\n)?A \/made$/);
  store.ok("commit", "work", "bb:running");
  child.stdin?.end();
  await once(child, "close");
  assert.match(store.ok("diff", "work"), /^(?:C \/\n)?A \/made$/);
  assert.equal(store.ok("run", "--rm", "bb:running", "cat", "/made"), "hi");
});

test("a container recorded as running before the machine went down has ended, whoever has its number now", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  store.ok("run", "-d", "--name", "web", "bb:1", "sleep", "1000");
  const pid = (): number =>
    (JSON.parse(store.ok("ps", "-a", "--json")) as { containers: { pid: number }[] }).containers[0]?.pid ?? 0;
  const monitor = parentOf(parentOf(pid()));
  process.kill(monitor, "SIGKILL");
  await settledTraces(store);
  for (const path of mountsBelow(store.path).toReversed()) spawnSync("umount", ["-l", path]);
  for (const path of cgroupsOf(store)) rmdirSync(path);
  const other = spawn("sleep", ["1000"], { stdio: "ignore" });
  try {
    const script = `const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
      new DatabaseSync(process.argv[1]).exec("UPDATE containers SET init = ${other.pid}")`;
    const { status, stderr } = spawnSync(process.execPath, ["-e", script, join(store.root, "layerctl.db")], {
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
    assert.equal(store.run(["kill", "web"]).exitCode, 4);
    assert.match(store.ok("ps", "-a"), /web .* lost$/);
    store.ok("stop", "web");
    store.ok("start", "web");
    store.ok("rm", "-f", "web");
    assert.equal(other.exitCode === null && other.kill(0), true, "the process that has its number now goes on");
  } finally {
    other.kill("SIGKILL");
  }
  assert.deepEqual(tracesOf(store), []);
});

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]);
}

test("two commands at once on one container: one does it, and the other says why not", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  store.ok("run", "--name", "one", "bb:1", "true");
  const both = async (...args: readonly string[]): Promise<readonly number[]> => {
    const children = [1, 2].map(() => spawn(LAYERCTL, ["--root", store.root, ...args], { stdio: "ignore" }));
    const codes = await Promise.all(children.map(async (child) => ((await once(child, "close")) as [number])[0]));
    return codes.toSorted((a, b) => a - b);
  };
  assert.deepEqual(await both("run", "-d", "--name", "two", "bb:1", "sleep", "1000"), [0, 125]);
  assert.deepEqual(await both("stop", "-t", "0", "two"), [0, 0]);
  assert.deepEqual(await both("start", "two"), [0, 4]);
  const removed = await both("rm", "-f", "two");
  assert.ok(removed[0] === 0 && [0, 3, 4].includes(removed[1] ?? -1), String(removed));
  assert.equal(store.run(["start", "two"]).exitCode, 3);
  store.ok("rm", "one");
  assert.deepEqual(tracesOf(store), []);
});

test("on a full disk a container is refused or ends with its error, and can be removed", {
  skip: needsContainers,
}, async () => {
  await using disk = smallDisk("ext4");
  await using source = busyboxStore();
  const root = join(disk.path, "store");
  const run = (...args: readonly string[]): Outcome => runLayerctl(["--root", root, ...args]);
  assert.equal(run("import", join(source.path, "bb.tar"), "--rootfs", "--name", "bb:1").exitCode, 0);
  assert.equal(run("run", "--name", "one", "bb:1", "true").exitCode, 0);
  disk.fill();
  const writing = run("start", "-a", "one");
  assert.ok([0, 7, 125].includes(writing.exitCode), writing.stderr);
  const { exitCode, stderr } = run("run", "--rm", "bb:1", "sh", "-c", "head -c 20000000 /dev/zero >/x");
  assert.notEqual(exitCode, 0);
  assert.match(stderr, /ENOSPC|No space left|disk is full/i);
  assert.equal(run("rm", "one").exitCode, 0);
  assert.deepEqual(mountsBelow(disk.path), [disk.path]);
  assert.match(run("fsck").stdout.toString(), /sound/);
});

test("a launcher killed while it makes a user namespace, or joins one, leaves nothing either", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  store.ok("run", "-d", "--name", "web", "--ipc", "shareable", "--uidmap", "0:100000:65536", "bb:1", "sleep", "1000");
  const options = ["--ipc", "shareable", "--userns", "container:web", "--pid", "container:web"];
  const begun = Date.now();
  store.shell("true", ...options);
  const wholeMs = Date.now() - begun;
  const before = tracesOf(store).length; // now: the shell of the first has become its command
  for (let step = 1; step <= 6; step++) {
    for (const more of [["--uidmap", "0:100000:65536", "--ipc", "shareable"], options]) {
      await killAfter(store, (wholeMs * step) / 6, more);
    }
  }
  for (let turn = 0; turn < 100 && tracesOf(store).length > before; turn++) {
    store.shell("true");
    await sleep(20);
  }
  assert.equal(tracesOf(store).length, before);
  store.ok("rm", "-f", "web");
  assert.deepEqual(tracesOf(store), []);
});
