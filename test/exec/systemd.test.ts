/**
 * Containers where systemd is process 1 and cgroups are version 2: in a virtual machine, which is started once
 * (guest/systemd.sh says what runs in it).
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, suite, test } from "node:test";
import { busyboxStore, needsContainers } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { runInVirtualMachine } from "../helpers/virtual-machine.ts";

const needs = ["virtual-machine", "program:crun", "program:runc"] as const;
const skip = needsContainers === false ? requires(...needs) : needsContainers;

const GUEST_SCRIPT = new URL("guest/systemd.sh", import.meta.url);

suite("with systemd and cgroup v2", { skip }, () => {
  let sections: ReadonlyMap<string, string> = new Map();
  const section = (name: string): string => sections.get(name) ?? `there is no section ${name}`;

  before(async () => {
    await using store = busyboxStore();
    const variables = `LAYERCTL=${LAYERCTL}\nIMAGE=${join(store.path, "bb.tar")}\nPATH=$PATH:${dirname(process.execPath)}\n`;
    const { output, exitCode } = await runInVirtualMachine(variables + readFileSync(GUEST_SCRIPT, "utf8"));
    const parts = output.split(/^== (.*)\n/m);
    sections = new Map(parts.flatMap((name, at) => (at % 2 === 1 ? [[name, (parts[at + 1] ?? "").trim()]] : [])));
    assert.ok(exitCode === 0 && sections.has("end"), output);
  });

  test("limits are set on a group in a scope of systemd's, and exec joins it", () => {
    assert.equal(
      section("limits"),
      `a
/sys/fs/cgroup/system.slice/layerctl-a-*.scope
layerctl-a loaded active running container of layerctl
memory.max=33554432
memory.swap.max=33554432
memory.low=16777216
cpu.max=50000 100000
cpu.weight=39
pids.max=20
cpuset.cpus=1
cpuset.mems=0
io.max=7:0 rbps=1048576 wbps=max riops=max wiops=9
io.weight=default 10000
0::/
33554432`,
    );
  });

  test("a container is frozen, and its scope goes with it", () => {
    assert.equal(section("pause"), "a\npopulated 1\nfrozen 1\na");
  });

  test("memory that is used up, and a fork bomb, end the container", () => {
    assert.equal(section("memory"), "exit code 137\nexited (137), out of memory");
    assert.equal(section("processes"), "20\ncannot fork");
  });

  test("a device is read and not written, if that is what was asked for", () => {
    assert.match(section("devices"), /^read\n.*Operation not permitted\nnot written\nnull$/);
  });

  test("without systemd's help a group is made at the top", () => {
    const [name, group, limit, ...rest] = section("cgroupfs").split("\n");
    assert.deepEqual([name, group, limit], ["c", "/sys/fs/cgroup/layerctl-c-*", "25165824"]);
    assert.equal(rest.pop(), "c"); // removed, and no group is left
    const { containers } = JSON.parse(rest.join("\n")) as { containers: readonly Record<string, number | string>[] };
    const [{ cpuPercent, memoryLimitBytes, pids, readBytes } = {}] = containers;
    assert.deepEqual([memoryLimitBytes, pids, typeof readBytes], [25165824, 1, "number"]);
    assert.ok(Number(cpuPercent) > 10, `${cpuPercent} %`);
  });

  test("the scope of a container whose monitor was killed goes", () => {
    assert.equal(section("monitor"), "d\n0::/\nlost"); // it was at the top, and not where it was started
  });

  test("a user's own systemd makes scopes, with the controllers that it has", () => {
    const [group, limit] = section("user").split("\n");
    const slice = "0::/user.slice/user-1234.slice/user@1234.service/user.slice";
    assert.match(group ?? "", /\/layerctl-[^/]+\.scope\/container$/);
    assert.deepEqual([group?.slice(0, slice.length), limit], [slice, "33554432"]);
  });

  for (const runtime of ["crun", "runc"]) {
    test(`${runtime} makes a scope too`, () => {
      assert.match(section(`runtime ${runtime}`), /^loaded active running$/m);
      assert.match(section(`runtime ${runtime}`), /^33554432$/m);
    });
  }
});
