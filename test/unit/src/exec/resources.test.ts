import assert from "node:assert/strict";
import { test } from "node:test";
import { type LimitTexts, parseResources } from "../../../../src/exec/cgroup/resources.ts";
import { version2Steps } from "../../../../src/exec/cgroup/version2.ts";

const limits = (texts: LimitTexts): unknown => {
  const { devices: _devices, ...rest } = parseResources(texts, false);
  return rest;
};

test("limits are read as docker reads them", () => {
  assert.deepEqual(limits({ memory: "32m" }), { memory: { limit: 2 ** 25 } });
  assert.deepEqual(limits({ memory: "1.5GB", memorySwap: "-1" }), { memory: { limit: 1.5 * 2 ** 30, swap: -1 } });
  assert.deepEqual(limits({ memory: "6291456", memorySwap: "8m" }), { memory: { limit: 6291456, swap: 2 ** 23 } });
  assert.deepEqual(limits({ cpus: ".5", cpuShares: "2", cpusetCpus: "0-1,3" }), {
    cpu: { shares: 2, quota: 50_000, period: 100_000, cpus: "0-1,3" },
  });
  assert.deepEqual(limits({ pidsLimit: "7" }), { pids: { limit: 7 } });
});

test("what docker takes for no limit is none", () => {
  for (const texts of [
    {},
    { memory: "0" },
    { pidsLimit: "-1" },
    { pidsLimit: "0" },
    { cpus: "0" },
    { cpuShares: "0" },
  ]) {
    assert.deepEqual(limits(texts), {});
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
  ];
  for (const texts of wrong) assert.throws(() => limits(texts), { code: "ERR_LIMIT" }, JSON.stringify(texts));
});

test("version 2 has swap by itself, and a weight where version 1 has shares", () => {
  const steps = (texts: LimitTexts): readonly string[] =>
    version2Steps(parseResources(texts, false)).map(({ file, value }) => `${file}=${value}`);
  assert.deepEqual(steps({ memory: "8m", memorySwap: "10m" }), ["memory.max=8388608", "memory.swap.max=2097152"]);
  assert.deepEqual(steps({ memory: "8m" }), ["memory.max=8388608", "memory.swap.max=8388608"]);
  assert.deepEqual(steps({ cpuShares: "1024", cpus: "1" }), ["cpu.weight=39", "cpu.max=100000 100000"]);
  assert.deepEqual(steps({ cpuShares: "262144" }), ["cpu.weight=10000"]);
});
