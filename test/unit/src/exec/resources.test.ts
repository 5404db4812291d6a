import assert from "node:assert/strict";
import { test } from "node:test";
import { type LimitTexts, parseLimits } from "../../../../src/exec/cgroup/limits.ts";
import type { FileStep } from "../../../../src/exec/cgroup/step.ts";
import { version2Steps } from "../../../../src/exec/cgroup/version2.ts";

const EVERY_DEVICE = [{ allow: true, access: "rwm" }];
const fileSteps = (texts: LimitTexts): readonly FileStep[] =>
  version2Steps({ ...parseLimits(texts), devices: EVERY_DEVICE }).filter((step) => "file" in step);
const stepsOf = (texts: LimitTexts): readonly string[] => fileSteps(texts).map(({ file, value }) => `${file}=${value}`);

test("limits are read as docker reads them", () => {
  assert.deepEqual(parseLimits({ memory: "32m" }), { memory: { limit: 2 ** 25 } });
  assert.deepEqual(parseLimits({ memory: "1.5GB", memorySwap: "-1" }), { memory: { limit: 1.5 * 2 ** 30, swap: -1 } });
  assert.deepEqual(parseLimits({ memory: "6291456", memorySwap: "8m" }), { memory: { limit: 6291456, swap: 2 ** 23 } });
  assert.deepEqual(parseLimits({ cpus: ".5", cpuShares: "2", cpusetCpus: "0-0,0" }), {
    cpu: { shares: 2, quota: 50_000, period: 100_000, cpus: "0-0,0" },
  });
  assert.deepEqual(parseLimits({ memoryReservation: "6m" }), { memory: { reservation: 6 * 2 ** 20 } });
  assert.deepEqual(parseLimits({ oomKillDisable: true }), { memory: { disableOOMKiller: true } });
  assert.deepEqual(parseLimits({ cpuQuota: "5000", cpuPeriod: "20000" }), { cpu: { quota: 5000, period: 20_000 } });
  assert.deepEqual(parseLimits({ blkioWeight: "10" }), { blockIO: { weight: 10 } });
  assert.deepEqual(parseLimits({ pidsLimit: "7" }), { pids: { limit: 7 } });
});

test("what docker takes for no limit is none", () => {
  for (const texts of [
    {},
    { memory: "0" },
    { pidsLimit: "-1" },
    { pidsLimit: "0" },
    { cpus: "0" },
    { cpuShares: "0" },
    { cpuQuota: "-1", cpuPeriod: "0" },
    { blkioWeight: "0" },
    { memoryReservation: "0" },
  ]) {
    assert.deepEqual(parseLimits(texts), {});
  }
});

test("what docker refuses is refused", () => {
  const wrong: readonly LimitTexts[] = [
    { memory: "5m" },
    { memory: "m" },
    { memory: "1e9" },
    { memory: "-1" },
    { memorySwap: "1g" },
    { memory: "32m", memorySwap: "16m" },
    { cpus: "0.001" },
    { cpus: "x" },
    { cpus: "100000" },
    { cpuShares: "1" },
    { cpusetCpus: "" },
    { cpusetMems: "0-" },
    { pidsLimit: "1.5" },
    { memory: "32m", memoryReservation: "64m" },
    { memoryReservation: "1m" },
    { cpus: "1", cpuQuota: "5000" },
    { cpuQuota: "999" },
    { cpuPeriod: "999" },
    { cpuPeriod: "1000001" },
    { blkioWeight: "9" },
    { blkioWeight: "1001" },
    { deviceReadBps: ["/dev/null:1mb"] },
    { deviceReadBps: ["/dev/nosuch:1mb"] },
    { deviceWriteBps: ["loop0:1mb"] },
    { deviceReadIops: ["/dev/loop0"] },
    { deviceWriteIops: ["/dev/loop0:0"] },
    { deviceWriteIops: ["/dev/loop0:1mb"] },
  ];
  for (const texts of wrong) assert.throws(() => parseLimits(texts), { code: "ERR_LIMIT" }, JSON.stringify(texts));
});

test("version 2 has swap by itself, and a weight where version 1 has shares", () => {
  assert.deepEqual(stepsOf({ memory: "8m", memorySwap: "10m" }), ["memory.max=8388608", "memory.swap.max=2097152"]);
  assert.deepEqual(stepsOf({ memory: "8m" }), ["memory.max=8388608", "memory.swap.max=8388608"]);
  assert.deepEqual(stepsOf({ cpuShares: "1024", cpus: "1" }), ["cpu.weight=39", "cpu.max=100000 100000"]);
  assert.deepEqual(stepsOf({ cpuShares: "262144" }), ["cpu.weight=10000"]);
});

test("version 2 has an I/O weight of its own, and no container that waits for memory", () => {
  assert.deepEqual(stepsOf({ cpuPeriod: "50000" }), ["cpu.max=max 50000"]);
  assert.deepEqual(stepsOf({ cpuQuota: "50000" }), ["cpu.max=50000 100000"]);
  assert.deepEqual(stepsOf({ memoryReservation: "8m" }), ["memory.low=8388608"]);
  const [step] = fileSteps({ blkioWeight: "1000" });
  assert.deepEqual([step?.value, step?.otherwise], ["1000", { file: "io.weight", value: "default 10000" }]);
  assert.throws(() => stepsOf({ oomKillDisable: true }), { code: "ERR_CGROUP_CONTROLLER" });
});
