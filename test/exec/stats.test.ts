/** What containers use, as `layerctl stats` shows it. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { findHierarchies } from "../../src/exec/cgroup/hierarchies.ts";
import { busyboxStore, needsContainers } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";

const hierarchies = findHierarchies();
const lacks = ["memory", "cpuacct", "pids"].find((name) => hierarchies.directoryOf(name) === null);
const skip =
  needsContainers === false && lacks !== undefined ? `needs the cgroup controller ${lacks}` : needsContainers;

interface Entry {
  readonly name: string;
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  readonly memoryLimitBytes: number | null;
  readonly receivedBytes: number | null;
  readonly pids: number | null;
}

test("stats shows what each container uses, once or until it is interrupted", { skip }, async () => {
  await using store = busyboxStore();
  const held = "x=$(head -c 8000000 /dev/zero | tr '\\0' x); sleep 1000 & while :; do :; done";
  store.ok("run", "-d", "--name", "busy", "-m", "64m", "bb:1", "sh", "-c", held);
  store.ok("run", "-d", "--name", "idle", "bb:1", "sleep", "1000");
  store.ok("run", "--name", "over", "bb:1", "true");
  const read = (...args: readonly string[]): ReadonlyMap<string, Entry> => {
    const { containers } = JSON.parse(store.ok("stats", "--json", ...args)) as { containers: readonly Entry[] };
    return new Map(containers.map((entry) => [entry.name, entry]));
  };
  let entries = read();
  for (let turn = 0; entries.get("busy")?.pids !== 2; turn++) {
    assert.ok(turn < 10, "the memory is not filled");
    entries = read();
  }
  assert.deepEqual([...entries.keys()], ["busy", "idle"]);
  const [busy, idle] = [entries.get("busy"), entries.get("idle")];
  assert.ok((busy?.memoryBytes ?? 0) > 8_000_000, `${busy?.memoryBytes}`);
  assert.ok((idle?.memoryBytes ?? 0) < 8_000_000, `${idle?.memoryBytes}`);
  assert.deepEqual([busy?.memoryLimitBytes, busy?.pids, idle?.pids], [64 * 2 ** 20, 2, 1]);
  assert.ok((busy?.cpuPercent ?? 0) > 5 * (idle?.cpuPercent ?? 0), `${busy?.cpuPercent} and ${idle?.cpuPercent}`);
  assert.equal(idle?.receivedBytes, 0);
  assert.equal(read("over").get("over")?.pids, null);
  assert.match(
    store.ok("stats", "--no-stream", "-a"),
    /^NAME +CPU % +MEM USAGE \/ LIMIT .*\nbusy +\d+\.\d\d% +\d+\.\d MB \/ 67\.1 MB .* 2\nidle .*\nover +-- .*--$/,
  );
  const stream = spawn(LAYERCTL, ["--root", store.root, "stats", "idle"], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const chunk of stream.stdout) {
    text += String(chunk);
    if (text.split("NAME").length > 2) stream.kill("SIGINT");
  }
  if (stream.exitCode === null) await once(stream, "close");
  assert.equal(stream.exitCode, 130);
  assert.equal(store.run(["stats", "nosuch"]).exitCode, 3);
});
