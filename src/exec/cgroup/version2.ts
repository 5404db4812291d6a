/** What limits are in cgroup v2 (Documentation/admin-guide/cgroup-v2.rst). */

import type { Resources } from "./resources.ts";
import { required, type Step } from "./step.ts";

export function version2Steps({ memory, cpu, pids }: Resources): readonly Step[] {
  const steps: Step[] = [];
  if (memory !== undefined) {
    const { limit, swap } = memory;
    steps.push(required("memory", "memory.max", limit));
    const value = swap === -1 ? "max" : String((swap ?? 2 * limit) - limit);
    steps.push({ controller: "memory", file: "memory.swap.max", value, isRequired: swap !== undefined });
  }
  if (cpu?.shares !== undefined) steps.push(required("cpu", "cpu.weight", weightOf(cpu.shares)));
  if (cpu?.quota !== undefined) steps.push(required("cpu", "cpu.max", `${cpu.quota} ${cpu.period}`));
  if (cpu?.cpus !== undefined) steps.push(required("cpuset", "cpuset.cpus", cpu.cpus));
  if (cpu?.mems !== undefined) steps.push(required("cpuset", "cpuset.mems", cpu.mems));
  if (pids !== undefined) steps.push(required("pids", "pids.max", pids.limit));
  return steps;
}

/** From 2…262144 to 1…10000, as runc and crun do it (KEP-2254). */
function weightOf(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262142);
}
