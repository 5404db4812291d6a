/** What limits are in cgroup v1 (Documentation/admin-guide/cgroup-v1). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { allowedDevices, mustHoldDevices } from "./device-rules.ts";
import type { Hierarchies } from "./hierarchies.ts";
import type { DeviceRule, Resources } from "./resources.ts";
import { required, type Step } from "./step.ts";

/** In the order in which the kernel takes them. */
export function version1Steps(resources: Resources, hierarchies: Hierarchies): readonly Step[] {
  const { memory, cpu, pids, blockIO } = resources;
  const steps: Step[] = [];
  if (memory?.limit !== undefined) {
    const { limit, swap } = memory;
    steps.push(required("memory", "memory.limit_in_bytes", limit));
    const total = { controller: "memory", file: "memory.memsw.limit_in_bytes", value: String(swap ?? 2 * limit) };
    steps.push({ ...total, isRequired: swap !== undefined }); // kernels without swap accounting
  }
  if (memory?.reservation !== undefined) {
    steps.push(required("memory", "memory.soft_limit_in_bytes", memory.reservation));
  }
  if (memory?.disableOOMKiller) steps.push(required("memory", "memory.oom_control", 1));
  if (cpu?.shares !== undefined) steps.push(required("cpu", "cpu.shares", cpu.shares));
  if (cpu?.period !== undefined) steps.push(required("cpu", "cpu.cfs_period_us", cpu.period));
  if (cpu?.quota !== undefined) steps.push(required("cpu", "cpu.cfs_quota_us", cpu.quota));
  if (cpu?.cpus !== undefined || cpu?.mems !== undefined) {
    // Both are empty in a new group, and one with either empty takes no process.
    for (const [file, value] of [
      ["cpuset.cpus", cpu.cpus],
      ["cpuset.mems", cpu.mems],
    ] as const) {
      steps.push(required("cpuset", file, value ?? inherited(hierarchies, file)));
    }
  }
  if (pids !== undefined) steps.push(required("pids", "pids.max", pids.limit));
  return [...steps, ...blockIoSteps(blockIO), ...deviceSteps(resources)];
}

function blockIoSteps(blockIO: Resources["blockIO"]): readonly Step[] {
  if (blockIO === undefined) return [];
  const { weight } = blockIO;
  const throttles = [
    ["read_bps", blockIO.throttleReadBpsDevice],
    ["write_bps", blockIO.throttleWriteBpsDevice],
    ["read_iops", blockIO.throttleReadIOPSDevice],
    ["write_iops", blockIO.throttleWriteIOPSDevice],
  ] as const;
  return [
    ...(weight === undefined
      ? []
      : [
          { ...required("blkio", "blkio.weight", weight), otherwise: { file: "blkio.bfq.weight", value: `${weight}` } },
        ]),
    ...throttles.flatMap(([name, list = []]) =>
      list.map(({ major, minor, rate }) =>
        required("blkio", `blkio.throttle.${name}_device`, `${major}:${minor} ${rate}`),
      ),
    ),
  ];
}

/** The steps that let a container open no device but its own. */
function deviceSteps(resources: Resources): readonly Step[] {
  const rules = allowedDevices(resources);
  if (rules === null) return [];
  const isRequired = mustHoldDevices(resources);
  const step = (file: string, value: string): Step => ({ controller: "devices", file, value, isRequired });
  return [step("devices.deny", "a"), ...rules.map((rule) => step("devices.allow", ruleText(rule)))];
}

function ruleText({ type, major, minor, access }: DeviceRule): string {
  return `${type ?? "a"} ${major ?? "*"}:${minor ?? "*"} ${access}`;
}

function inherited(hierarchies: Hierarchies, file: string): string {
  const parent = hierarchies.directoryOf("cpuset");
  return parent === null ? "" : readFileSync(join(parent, file), "latin1").trim();
}
