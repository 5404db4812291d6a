/** Device rules as a program, in a group of whatever cgroup v2 tree there is: hybrid hosts have one too. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { deviceProgram } from "../../src/exec/cgroup/device-program.ts";
import { allowedDevices } from "../../src/exec/cgroup/device-rules.ts";
import type { DeviceRule } from "../../src/exec/cgroup/resources.ts";
import { mountsOfType } from "../../src/mount/mount-info.ts";
import { bytesOf } from "../../src/paths.ts";
import { attachDeviceProgram } from "../../src/sys/bpf.ts";
import { requires } from "../helpers/requires.ts";

const [tree] = mountsOfType("cgroup2");
const skip = requires("root") || (tree === undefined ? "needs a cgroup v2 tree" : false);

/** What can be done with devices in a group with the program of these rules, a letter each: "r", "w", and "m" for making. */
function tried(rules: readonly DeviceRule[], devices: readonly string[]): readonly string[] {
  const group = mkdtempSync(join(bytesOf(tree?.target ?? "").toString(), "layerctl-test-"));
  try {
    const fd = openSync(group, "r");
    attachDeviceProgram(fd, deviceProgram(rules));
    closeSync(fd);
    const script = `echo $$ >${group}/cgroup.procs; for d in ${devices.join(" ")}; do
      (: <$d) 2>&- && printf r; (: >>$d) 2>&- && printf w
      n=$(stat -c 'c 0x%t 0x%T' $d); mknod /dev/shm/layerctl-test-$$ $n 2>&- && rm /dev/shm/layerctl-test-$$ && printf m
      echo; done`;
    return spawnSync("sh", ["-c", script], { encoding: "utf8" }).stdout.split("\n").slice(0, -1);
  } finally {
    rmdirSync(group);
  }
}

const DEVICES = ["/dev/null", "/dev/zero", "/dev/loop-control", "/dev/tty0"];
const NONE: DeviceRule = { allow: false, access: "rwm" };

test("a program allows what one of the rules does", { skip }, () => {
  assert.deepEqual(tried([], DEVICES), ["", "", "", ""]);
  assert.deepEqual(tried([{ allow: true, access: "rwm" }], DEVICES), ["rwm", "rwm", "rwm", "rwm"]);
  assert.deepEqual(tried([{ allow: true, type: "b", access: "rwm" }], DEVICES), ["", "", "", ""]);
  assert.deepEqual(tried([{ allow: true, access: "rwm" }, NONE], DEVICES), ["rwm", "rwm", "rwm", "rwm"]);
  const zero: DeviceRule = { allow: true, type: "c", major: 1, minor: 5, access: "r" };
  assert.deepEqual(tried([zero], DEVICES), ["", "r", "", ""]);
  assert.deepEqual(tried([{ ...zero, access: "wm" }], DEVICES), ["", "wm", "", ""]);
  assert.deepEqual(tried([zero, { allow: true, major: 1, access: "m" }], DEVICES), ["m", "rm", "", ""]);
});

test("a container's rules are those that docker has", { skip }, () => {
  const rules = allowedDevices({ devices: [NONE] }) ?? [];
  assert.deepEqual(tried(rules, DEVICES), ["rwm", "rwm", "m", "m"]);
  const control: DeviceRule = { allow: true, type: "c", major: 10, minor: 237, access: "r" };
  assert.deepEqual(tried(allowedDevices({ devices: [NONE, control] }) ?? [], DEVICES), ["rwm", "rwm", "rm", "m"]);
  assert.equal(allowedDevices({ devices: [{ allow: true, access: "rwm" }] }), null);
});
