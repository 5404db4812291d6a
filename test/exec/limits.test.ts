/** Limits through whichever version of cgroups this host has. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
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

const BLKIO_WEIGHT = existsSync("/sys/fs/cgroup/blkio/blkio.weight") ? "blkio.weight" : "blkio.bfq.weight";

/** Less common limits, which one container has all of, and what they are to be. The device is 7:0. */
const OTHERS: readonly (readonly [options: readonly string[], file: string, value: string])[] =
  hierarchies.version === 2
    ? [
        [["--memory-reservation", "8m"], "memory.low", "8388608"],
        [["--cpu-quota", "20000", "--cpu-period", "40000"], "cpu.max", "20000 40000"],
        [["--device-read-bps", "/dev/loop0:1mb"], "io.max", "7:0 rbps=1048576 wbps=max riops=max wiops=max"],
      ]
    : [
        [["--memory-reservation", "8m"], "memory/memory.soft_limit_in_bytes", "8388608"],
        [["-m", "16m", "--memory-swap", "16m"], "memory/memory.memsw.limit_in_bytes", "16777216"],
        [["--oom-kill-disable"], "memory/memory.oom_control", "oom_kill_disable 1"],
        [["--cpu-shares", "77"], "cpu/cpu.shares", "77"],
        [["--cpu-quota", "20000", "--cpu-period", "40000"], "cpu/cpu.cfs_period_us", "40000"],
        [[], "cpu/cpu.cfs_quota_us", "20000"],
        [["--cpuset-mems", "0"], "cpuset/cpuset.mems", "0"],
        [["--blkio-weight", "300"], `blkio/${BLKIO_WEIGHT}`, "300"],
        [["--device-read-bps", "/dev/loop0:1mb"], "blkio/blkio.throttle.read_bps_device", "7:0 1048576"],
        [["--device-write-bps", "/dev/loop0:2k"], "blkio/blkio.throttle.write_bps_device", "7:0 2048"],
        [["--device-read-iops", "/dev/loop0:9"], "blkio/blkio.throttle.read_iops_device", "7:0 9"],
        [["--device-write-iops", "/dev/loop0:8"], "blkio/blkio.throttle.write_iops_device", "7:0 8"],
      ];

test("limits are set, and the container sees them", { skip }, async () => {
  await using store = busyboxStore();
  const options = ["--memory", "32m", "--cpus", "0.5", "--pids-limit", "16", "--cpuset-cpus", "0"];
  const read = store.shell(`cd /sys/fs/cgroup; cat ${FILES.join(" ")}`, ...options);
  assert.equal(read, `33554432\n50000${hierarchies.version === 2 ? " 100000" : ""}\n16\n0`);
  assert.equal(store.shell("grep Cpus_allowed_list /proc/self/status | cut -f2", "--cpuset-cpus", "0"), "0");
  assert.equal(store.shell("cut -d: -f3 /proc/self/cgroup | sort -u", ...options), "/");
  assert.notEqual(store.inside([...options, "bb:1", "sh", "-c", `echo 1 >/sys/fs/cgroup/${FILES[2]}`]).exitCode, 0);
});

test("so are the less common ones", { skip }, async () => {
  await using store = busyboxStore();
  const files = OTHERS.map(([, file]) => file);
  const read = store.shell(
    `cd /sys/fs/cgroup; head -n 1 -q ${files.join(" ")}`,
    ...OTHERS.flatMap(([options]) => options),
  );
  assert.deepEqual(
    read.split("\n").map((value, at) => `${files[at]}: ${value}`),
    OTHERS.map(([, file, value]) => `${file}: ${value}`),
  );
});

test("what uses up its memory is killed: 137, and it is said", { skip }, async () => {
  await using store = busyboxStore();
  const { exitCode, stderr } = store.run(["run", "--name", "c", "--memory", "16m", "bb:1", "tail", "/dev/zero"]);
  assert.equal(exitCode, 137);
  assert.match(stderr, /container\.out-of-memory/);
  assert.match(store.ok("ps", "-a"), /exited \(137\), out of memory$/m);
  assert.match(store.ok("ps", "-a", "--json"), /"oomKilled": true/);
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
    ["--cpuset-cpus", "0,4096"], // version 2 would take it
    ["--pids-limit", "few"],
  ] as const) {
    const outcome = store.inside([option, value, "bb:1", "true"]);
    assert.equal(outcome.exitCode, 125, option);
    assert.match(outcome.stderr, /ERR_LIMIT/);
  }
});
