/** What limits are in cgroup v2 (Documentation/admin-guide/cgroup-v2.rst). */

import { UnsupportedError } from "../../errors.ts";
import { deviceProgram } from "./device-program.ts";
import { allowedDevices, mustHoldDevices } from "./device-rules.ts";
import type { Resources } from "./resources.ts";
import { required, type Step } from "./step.ts";

/** @throws {UnsupportedError} `ERR_CGROUP_CONTROLLER` for what only the first version has */
export function version2Steps(resources: Resources): readonly Step[] {
  const { memory, cpu, pids, blockIO } = resources;
  return [
    ...memorySteps(memory),
    ...cpuSteps(cpu),
    ...(pids === undefined ? [] : [required("pids", "pids.max", pids.limit)]),
    ...blockIoSteps(blockIO),
    ...deviceSteps(resources),
  ];
}

/** The step that lets a container open no device but its own. */
function deviceSteps(resources: Resources): readonly Step[] {
  const rules = allowedDevices(resources);
  if (rules === null) return [];
  return [{ controller: "devices", program: deviceProgram(rules), isRequired: mustHoldDevices(resources) }];
}

function memorySteps(memory: Resources["memory"]): readonly Step[] {
  if (memory === undefined) return [];
  const { limit, swap, reservation, disableOOMKiller } = memory;
  if (disableOOMKiller) {
    const message =
      'Cannot use --oom-kill-disable: controller "memory" of cgroup v2 has nothing like it; leave it away';
    throw new UnsupportedError("ERR_CGROUP_CONTROLLER", message, { data: { controller: "memory", version: 2 } });
  }
  const steps: Step[] = [];
  if (limit !== undefined) {
    steps.push(required("memory", "memory.max", limit));
    const value = swap === -1 ? "max" : String((swap ?? 2 * limit) - limit);
    steps.push({ controller: "memory", file: "memory.swap.max", value, isRequired: swap !== undefined });
  }
  if (reservation !== undefined) steps.push(required("memory", "memory.low", reservation));
  return steps;
}

const DEFAULT_PERIOD_US = 100_000;

function cpuSteps(cpu: Resources["cpu"]): readonly Step[] {
  const steps: Step[] = [];
  if (cpu?.shares !== undefined) steps.push(required("cpu", "cpu.weight", weightOf(cpu.shares)));
  if (cpu?.quota !== undefined || cpu?.period !== undefined) {
    steps.push(required("cpu", "cpu.max", `${cpu.quota ?? "max"} ${cpu.period ?? DEFAULT_PERIOD_US}`));
  }
  if (cpu?.cpus !== undefined) steps.push(required("cpuset", "cpuset.cpus", cpu.cpus));
  if (cpu?.mems !== undefined) steps.push(required("cpuset", "cpuset.mems", cpu.mems));
  return steps;
}

/** From 2…262144 to 1…10000, as runc and crun do it (KEP-2254). */
function weightOf(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262142);
}

function blockIoSteps(blockIO: Resources["blockIO"]): readonly Step[] {
  if (blockIO === undefined) return [];
  const { weight } = blockIO;
  const throttles = [
    ["rbps", blockIO.throttleReadBpsDevice],
    ["wbps", blockIO.throttleWriteBpsDevice],
    ["riops", blockIO.throttleReadIOPSDevice],
    ["wiops", blockIO.throttleWriteIOPSDevice],
  ] as const;
  return [
    ...(weight === undefined ? [] : [weightStep(weight)]),
    ...throttles.flatMap(([key, list = []]) =>
      list.map(({ major, minor, rate }) => required("io", "io.max", `${major}:${minor} ${key}=${rate}`)),
    ),
  ];
}

/** BFQ has docker's scale; the file of other schedulers has 1…10000, into which runc and crun turn 10…1000. */
function weightStep(weight: number): Step {
  const value = `default ${Math.floor(1 + ((weight - 10) * 9999) / 990)}`;
  return { ...required("io", "io.bfq.weight", weight), otherwise: { file: "io.weight", value } };
}
