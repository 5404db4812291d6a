/** What limits are in cgroup v1 (Documentation/admin-guide/cgroup-v1). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Hierarchies } from "./hierarchies.ts";
import type { Resources } from "./resources.ts";
import { required, type Step } from "./step.ts";

/** null, zero, full, random, urandom, tty, console, ptmx, terminals; and making, but not opening, any other. */
const DEVICES = [
  ...["c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm"],
  ...["c 136:* rwm", "c *:* m", "b *:* m"],
];

/** In the order in which the kernel takes them. */
export function version1Steps(resources: Resources, hierarchies: Hierarchies): readonly Step[] {
  const { memory, cpu, pids } = resources;
  const steps: Step[] = [];
  if (memory !== undefined) {
    const { limit, swap } = memory;
    steps.push(required("memory", "memory.limit_in_bytes", limit));
    const total = { controller: "memory", file: "memory.memsw.limit_in_bytes", value: String(swap ?? 2 * limit) };
    steps.push({ ...total, isRequired: swap !== undefined }); // kernels without swap accounting
  }
  if (cpu?.shares !== undefined) steps.push(required("cpu", "cpu.shares", cpu.shares));
  if (cpu?.quota !== undefined) {
    steps.push(required("cpu", "cpu.cfs_period_us", cpu.period ?? 0), required("cpu", "cpu.cfs_quota_us", cpu.quota));
  }
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
  return resources.devices.some(({ allow }) => !allow) ? [...steps, ...deviceSteps()] : steps;
}

/** The steps that let a container open no device but its own. */
function deviceSteps(): readonly Step[] {
  const step = (file: string, value: string): Step => ({ controller: "devices", file, value, isRequired: false });
  return [step("devices.deny", "a"), ...DEVICES.map((rule) => step("devices.allow", rule))];
}

function inherited(hierarchies: Hierarchies, file: string): string {
  const parent = hierarchies.directoryOf("cpuset");
  return parent === null ? "" : readFileSync(join(parent, file), "latin1").trim();
}
