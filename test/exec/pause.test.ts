/** Pausing: by the user, and by commit. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { findHierarchies } from "../../src/exec/cgroup/hierarchies.ts";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";

const hasFreezer = findHierarchies().directoryOf("freezer") !== null;
const skip = needsContainers === false && !hasFreezer ? "needs the cgroup controller freezer" : needsContainers;

function stateOf(store: ContainerStore): string | undefined {
  const { containers } = JSON.parse(store.ok("ps", "-a", "--json")) as { containers: { state: string }[] };
  return containers[0]?.state;
}

/** A container "c" which counts as fast as it can, after `prologue`; the result reads how far it is. */
function counting(store: ContainerStore, prologue = ":"): () => string {
  const directory = join(store.path, "counter");
  mkdirSync(directory);
  writeFileSync(join(directory, "n"), "");
  const script = `${prologue}; while :; do echo $((i += 1)) >/v/m; mv /v/m /v/n; done`;
  store.ok("run", "-d", "--name", "c", "-v", `${directory}:/v`, "bb:1", "sh", "-c", script);
  return () => readFileSync(join(directory, "n"), "utf8");
}

/** Settles when the counter has moved on. */
async function moves(read: () => string): Promise<void> {
  const before = read();
  for (let turn = 0; read() === before; turn++) {
    assert.ok(turn < 1_000, "the counter stands still");
    await sleep(10);
  }
}

/** Makes a file that is not read in a moment. */
const BIG = "dd if=/dev/urandom of=/big bs=1M count=64 2>/dev/null";

const STILL_MS = 100;

async function standsStill(read: () => string): Promise<void> {
  const before = read();
  await sleep(STILL_MS);
  assert.equal(read(), before);
}

test("a paused container stands still until it is unpaused", { skip }, async () => {
  await using store = busyboxStore();
  const read = counting(store);
  await moves(read);
  assert.equal(store.ok("pause", "c"), "c");
  await standsStill(read);
  assert.equal(stateOf(store), "paused");
  assert.match(store.ok("ps"), /^c .* paused$/m);
  assert.match(store.run(["pause", "c"]).stderr, /it is paused already.*ERR_CONTAINER_PAUSED/);
  assert.equal(store.ok("unpause", "c"), "c");
  await moves(read);
  assert.equal(stateOf(store), "running");
  assert.match(store.run(["unpause", "c"]).stderr, /it is not paused.*ERR_CONTAINER_NOT_PAUSED/);
  store.ok("stop", "-t", "0", "c");
  for (const verb of ["pause", "unpause"]) assert.match(store.run([verb, "c"]).stderr, /ERR_CONTAINER_STOPPED/);
  assert.deepEqual(tracesOf(store), []);
});

test("what ends a container ends a paused one too: stop, kill, rm -f; another signal waits in it", {
  skip,
}, async () => {
  await using store = busyboxStore();
  const trap = "trap 'exit 5' TERM; trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done";
  const paused = async (): Promise<void> => {
    store.ok("run", "-d", "--name", "c", "bb:1", "sh", "-c", trap);
    for (let turn = 0; store.ok("logs", "c") === ""; turn++) {
      assert.ok(turn < 200, "it never came up");
      await sleep(10);
    }
    store.ok("pause", "c");
  };
  await paused();
  store.ok("kill", "-s", "HUP", "c");
  assert.equal(stateOf(store), "paused");
  store.ok("stop", "c");
  assert.equal(store.ok("wait", "c"), "5");
  assert.equal(store.ok("logs", "c"), "ready\nhup");
  store.ok("rm", "c");
  await paused();
  store.ok("kill", "c");
  assert.equal(store.ok("wait", "c"), "137");
  store.ok("rm", "c");
  await paused();
  store.ok("rm", "-f", "c");
  assert.deepEqual(tracesOf(store), []);
});

test("commit pauses a running container and lets it go on; one that is paused stays so", { skip }, async () => {
  await using store = busyboxStore();
  const read = counting(store);
  await moves(read);
  store.ok("commit", "c", "bb:c");
  await moves(read);
  store.ok("pause", "c");
  store.ok("commit", "c", "bb:c");
  assert.equal(stateOf(store), "paused");
});

test("a tree that never rests is committed, because it is paused, and not with --no-pause", { skip }, async () => {
  await using store = busyboxStore();
  const script = `${BIG}; while :; do echo $((i += 1)) >/changing; mv /changing /changed; done`;
  store.ok("run", "-d", "--name", "c", "bb:1", "sh", "-c", script);
  const commit = ["commit", "--compression", "none", "c", "bb:c"];
  for (let turn = 0; !store.ok("diff", "c").includes("/changed"); turn++) assert.ok(turn < 100, "it never changed");
  for (const option of ["--no-pause", "--pause=false"]) {
    assert.match(store.run([...commit, option]).stderr, /ERR_COMMIT_CHANGING/, option);
  }
  for (const option of ["--pause", "--pause=true", "-p"]) store.ok(...commit, option);
});

test("a commit that is killed leaves the container paused until the next command", { skip }, async () => {
  await using store = busyboxStore();
  const read = counting(store, BIG);
  await moves(read);
  const commit = spawn(LAYERCTL, ["--root", store.root, "commit", "--compression", "none", "c", "bb:c"], {
    stdio: "ignore",
  });
  for (let turn = 0; stateOf(store) !== "paused"; turn++)
    assert.ok(turn < 100 && commit.exitCode === null, "it never paused");
  commit.kill("SIGKILL");
  await once(commit, "exit");
  await standsStill(read);
  store.ok("ps");
  await moves(read);
  store.ok("rm", "-f", "c");
  assert.deepEqual(tracesOf(store), []);
});
