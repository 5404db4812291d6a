/** A launcher that is killed leaves nothing that the next command does not take away. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";

const STEPS = 16;

/** `layerctl run` killed after a time: whether it was still there. */
async function killAfter(store: ContainerStore, delayMs: number): Promise<boolean> {
  const args = ["--root", store.root, "run", "--rm", "bb:1", "sleep", "4711"];
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
    ["--root", store.root, "run", "--name", "one", "bb:1", "sh", "-c", "echo ready; sleep 1"],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  await once(first.stdout ?? first, "data");
  const second = store.run(["run", "--name", "one", "bb:1", "true"]);
  assert.equal(second.exitCode, 125);
  assert.match(second.stderr, /a container has this name.*ERR_CONTAINER_EXISTS/);
  assert.equal(store.run(["rm", "one"]).exitCode, 4);
  assert.deepEqual(await once(first, "close"), [0, null]);
  assert.deepEqual(tracesOf(store), []);
  store.ok("rm", "one");
});

test("diff and commit work on a container while it runs and when it has ended", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const script = "echo hi >/made; echo ready; sleep 2";
  const child = spawn(LAYERCTL, ["--root", store.root, "run", "--name", "work", "bb:1", "sh", "-c", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout ?? child, "data");
  assert.match(store.ok("diff", "work"), /^(?:C \/\n)?A \/made$/);
  store.ok("commit", "work", "bb:running");
  await once(child, "close");
  assert.match(store.ok("diff", "work"), /^(?:C \/\n)?A \/made$/);
  assert.equal(store.ok("run", "--rm", "bb:running", "cat", "/made"), "hi");
});
