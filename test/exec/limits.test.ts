/** Limits through whichever version of cgroups this host has. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { findHierarchies } from "../../src/exec/cgroup/hierarchies.ts";
import { busyboxStore, cgroupsOf, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";

const hierarchies = findHierarchies();
const lacks = ["memory", "cpu", "cpuset", "pids"].find((name) => hierarchies.directoryOf(name) === null);
const skip =
  needsContainers === false && lacks !== undefined ? `needs the cgroup controller ${lacks}` : needsContainers;

/** Where a container reads its own limits. */
const FILES =
  hierarchies.version === 2
    ? ["memory.max", "cpu.max", "pids.max", "cpuset.cpus"]
    : ["memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "pids/pids.max", "cpuset/cpuset.cpus"];

test("limits are set, and the container sees them", { skip }, async () => {
  await using store = busyboxStore();
  const options = ["--memory", "32m", "--cpus", "0.5", "--pids-limit", "16", "--cpuset-cpus", "0"];
  const read = store.shell(`cd /sys/fs/cgroup; cat ${FILES.join(" ")}`, ...options);
  assert.equal(read, `33554432\n50000${hierarchies.version === 2 ? " 100000" : ""}\n16\n0`);
  assert.equal(store.shell("grep Cpus_allowed_list /proc/self/status | cut -f2", "--cpuset-cpus", "0"), "0");
  assert.equal(store.shell("cut -d: -f3 /proc/self/cgroup | sort -u", ...options), "/");
  assert.notEqual(store.inside([...options, "bb:1", "sh", "-c", `echo 1 >/sys/fs/cgroup/${FILES[2]}`]).exitCode, 0);
});

test("what uses up its memory is killed: 137, and it is said", { skip }, async () => {
  await using store = busyboxStore();
  const { exitCode, stderr } = store.inside(["--memory", "16m", "bb:1", "tail", "/dev/zero"]);
  assert.equal(exitCode, 137);
  assert.match(stderr, /container\.out-of-memory/);
  assert.deepEqual(tracesOf(store), []);
});

test("a fork bomb ends at its limit, and nothing of it stays", { skip }, async () => {
  await using store = busyboxStore();
  const bomb = "f() { f | f & }; f; sleep 1; ls -d /proc/[0-9]* | wc -l";
  const { stdout, stderr } = store.inside(["--pids-limit", "20", "bb:1", "sh", "-c", bomb]);
  assert.match(stderr, /can't fork/);
  assert.ok(Number(stdout.toString()) <= 20, stdout.toString());
  assert.deepEqual(tracesOf(store), []);
});

test("a limit that cannot be set is an error with the controller's name", { skip }, async () => {
  await using store = busyboxStore();
  const hide = hierarchies.version === 2 ? "mount -t tmpfs t /sys/fs/cgroup" : "umount /sys/fs/cgroup/pids";
  const script = `${hide} && exec "$@"`;
  const args = ["--root", store.root, "run", "--rm", "--pids-limit", "5", "-m", "32m", "bb:1", "true"];
  const { status, stderr } = spawnSync("unshare", ["-m", "sh", "-c", script, "sh", LAYERCTL, ...args], {
    encoding: "utf8",
  });
  assert.equal(status, 125);
  assert.match(stderr, /controller "(?:pids|memory)" of cgroup v[12].*ERR_CGROUP_CONTROLLER/);
  assert.deepEqual(cgroupsOf(store), []);
  for (const [option, value] of [
    ["--memory", "1m"],
    ["--memory", "much"],
    ["--cpus", "1000"],
    ["--memory-swap", "64m"],
    ["--cpuset-cpus", "0,"],
    ["--pids-limit", "few"],
  ] as const) {
    const outcome = store.inside([option, value, "bb:1", "true"]);
    assert.equal(outcome.exitCode, 125, option);
    assert.match(outcome.stderr, /ERR_LIMIT/);
  }
});
