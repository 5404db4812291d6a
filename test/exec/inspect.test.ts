/** What is told about containers, and their names: inspect, top, rename. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { busyboxStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { requires } from "../helpers/requires.ts";

interface Inspected {
  readonly type: string;
  readonly name: string;
  readonly target: string | null;
  readonly upperdir: string;
  readonly state: Readonly<Record<string, unknown>>;
  readonly config: Readonly<Record<string, unknown>>;
  readonly mounts: readonly object[];
  readonly network: object;
  readonly limits: object;
  readonly pids: readonly number[];
  readonly paths: { readonly log: string; readonly cgroups: readonly string[] };
}

for (const runtime of [[], ["--runtime", "crun"]]) {
  const name = runtime[1] ?? "layerctl itself";
  const skip = needsContainers === false && runtime.length > 0 ? requires(`program:${name}`) : needsContainers;

  test(`inspect and top show a container of ${name}, running, paused and ended`, { skip }, async () => {
    await using store = busyboxStore();
    const inspect = (): Inspected => JSON.parse(store.ok("inspect", "c")) as Inspected;
    const options = ["-v", `${store.path}:/data:ro`, "--tmpfs", "/t", "-m", "64m", "-u", "app", "-e", "A=1"];
    store.ok("run", "-d", "--name", "c", ...options, ...runtime, "bb:1", "sh", "-c", "echo out; sleep 1000 & wait");
    store.ok("exec", "-d", "c", "sleep", "4714");
    const running = inspect();
    assert.equal(running.type, "container");
    assert.deepEqual([running.state.status, running.state.running, running.state.exitCode], ["running", true, null]);
    assert.match(readFileSync(`/proc/${running.state.pid}/cmdline`, "latin1"), /^sh\0-c\0echo out/);
    assert.deepEqual([running.config.user, running.config.env, running.config.hostname], ["app", ["A=1"], "c"]);
    assert.deepEqual(running.config.command, ["sh", "-c", "echo out; sleep 1000 & wait"]);
    assert.deepEqual(running.mounts, [
      { type: "bind", source: store.path, destination: "/data", readOnly: true },
      { type: "tmpfs", source: null, destination: "/t", readOnly: false },
    ]);
    assert.deepEqual(
      [running.network, running.limits],
      [{ mode: "none", bridge: null, aliases: [], ports: [] }, { memory: "64m" }],
    );
    assert.equal(readFileSync(running.paths.log, "utf8"), "out\n");
    assert.ok(running.upperdir.startsWith(store.root) && running.target !== null);
    const commands = running.pids.map((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ").trim(),
    );
    assert.deepEqual(commands.sort(), ["sh -c echo out; sleep 1000 & wait", "sleep 1000", "sleep 4714"]);

    const { titles, processes } = JSON.parse(store.ok("top", "--json", "c")) as {
      titles: readonly string[];
      processes: readonly (readonly string[])[];
    };
    assert.deepEqual(titles.slice(0, 3), ["UID", "PID", "PPID"]);
    assert.deepEqual(processes.map((row) => Number(row[1])).sort(), [...running.pids].sort());
    assert.equal(processes.find((row) => row[1] === String(running.state.pid))?.at(-1), commands.sort()[0]);
    const lines = store.ok("top", "c", "-o", "pid,args").split("\n");
    assert.deepEqual(lines.map((line) => line.trim().replace(/^\S+ +/, "")).sort(), ["COMMAND", ...commands].sort());
    for (const args of [["-o", "args"], ["--nonsense"]]) {
      assert.match(store.run(["top", "c", ...args]).stderr, /ERR_PS_OPTIONS/, args.join(" "));
    }

    store.ok("pause", "c");
    assert.deepEqual([inspect().state.status, inspect().state.paused], ["paused", true]);
    store.ok("unpause", "c");
    store.ok("stop", "-t", "0", "c");
    const { state, pids, paths } = inspect();
    assert.deepEqual([state.status, state.running, state.pid, state.exitCode], ["exited", false, null, 137]);
    assert.deepEqual([pids, paths.cgroups], [[], []]);
    assert.match(store.run(["top", "c"]).stderr, /it is not running.*ERR_CONTAINER_STOPPED/);
    assert.equal((JSON.parse(store.ok("inspect", "bb:1")) as Inspected).type, "image");
  });
}

test("a container has another name from one moment to the next, running or not", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  store.ok("run", "-d", "--rm", "--name", "one", "bb:1", "sleep", "1000");
  store.ok("rename", "one", "two");
  assert.equal(store.run(["exec", "one", "true"]).exitCode, 125);
  assert.equal(store.ok("exec", "two", "hostname"), "one");
  store.ok("run", "--name", "other", "bb:1", "true");
  for (const [args, exitCode, code] of [
    [["two", "other"], 4, "ERR_SNAPSHOT_EXISTS"],
    [["two", "no/name"], 2, "ERR_SNAPSHOT_NAME"],
    [["nosuch", "x"], 3, "ERR_SNAPSHOT_NOT_FOUND"],
  ] as const) {
    const outcome = store.run(["rename", ...args]);
    assert.equal(outcome.exitCode, exitCode);
    assert.match(outcome.stderr, new RegExp(code));
  }
  store.ok("rename", "other", "another");
  store.ok("start", "another");
  assert.equal(store.ok("wait", "another"), "0");
  store.ok("stop", "-t", "0", "two"); // and it goes, by its new name
  for (let turn = 0; store.ok("ps", "-a").includes("two"); turn++) assert.ok(turn < 100);
  assert.deepEqual(tracesOf(store), []);
});
