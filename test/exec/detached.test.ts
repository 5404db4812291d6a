/** Containers that outlive their command: monitors, logs, signals, and what becomes of those that are killed. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { mountsBelow } from "../helpers/leftovers.ts";
import { monitorOf, until } from "../helpers/monitor.ts";
import { requires } from "../helpers/requires.ts";

interface Listed {
  readonly name: string;
  readonly state: string;
  readonly pid: number | null;
  readonly exitCode: number | null;
  readonly command: readonly string[];
}

function listed(store: ContainerStore): readonly Listed[] {
  const { containers } = JSON.parse(store.ok("ps", "-a", "--json")) as { containers: readonly Listed[] };
  return containers;
}

function detach(store: ContainerStore, script: string, ...options: readonly string[]): string {
  return store.ok("run", "-d", "--name", "c", ...options, "bb:1", "sh", "-c", script);
}

test("a detached container runs on, is listed, and its output is kept in order", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  assert.equal(detach(store, "echo out; echo err >&2; echo $$; read x; echo end"), "c");
  const [container] = listed(store);
  assert.deepEqual(container?.command.slice(0, 2), ["sh", "-c"]);
  await until(() => listed(store)[0]?.state === "exited"); // there is nothing to read
  assert.equal(store.ok("logs", "c"), "out\nerr\n1\nend");
  assert.deepEqual([listed(store)[0]?.exitCode, store.ok("wait", "c")], [0, "0"]);
  assert.equal(store.ok("ps").includes("c "), false);
  assert.match(store.ok("ps", "-a"), /^c +bb:1 +sh -c .* exited \(0\)$/m);
  assert.deepEqual(tracesOf(store), []);
  store.ok("rm", "c");
});

test("nothing of a detached container is in the control group of who started it", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const tree = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].find((path) => existsSync(join(path, "cgroup.procs"))) ?? "";
  const group = join(tree, `caller-${process.pid}`); // a session, say, that is ended with all that is in it
  mkdirSync(group);
  try {
    const script = `echo $$ >${group}/cgroup.procs; exec ${LAYERCTL} --root ${store.root} run -d --name c bb:1 sleep 1000`;
    assert.equal(spawnSync("sh", ["-c", script], { stdio: "ignore" }).status, 0);
    await until(() => readFileSync(join(group, "cgroup.procs"), "latin1") === "");
    store.ok("rm", "-f", "c");
  } finally {
    rmdirSync(group);
  }
});

test("what cannot be started detached is told as in front, and leaves no container", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  for (const [args, exitCode] of [
    [["bb:1", "nosuch"], 127],
    [["bb:1", "/etc/passwd"], 126],
    [["-u", "nobody", "bb:1", "true"], 125],
  ] as const) {
    assert.equal(store.run(["run", "-d", ...args]).exitCode, exitCode, args.join(" "));
  }
  assert.deepEqual(listed(store), []);
  assert.deepEqual(tracesOf(store), []);
});

test("stop ends with SIGTERM, and with SIGKILL what ignores it", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.1; done");
  await until(() => store.ok("logs", "c") === "up");
  assert.equal(store.ok("stop", "c"), "c");
  assert.deepEqual([store.ok("wait", "c"), store.ok("logs", "c")], ["4", "up\nbye"]);
  assert.equal(store.ok("stop", "c"), "c", "it has ended already");
  store.ok("rm", "c");
  detach(store, "trap '' TERM; echo up; while :; do sleep 0.1; done");
  await until(() => store.ok("logs", "c") === "up");
  const begun = Date.now();
  store.ok("stop", "-t", "1", "c");
  assert.ok(Date.now() - begun >= 1000);
  assert.equal(store.ok("wait", "c"), "137");
  assert.deepEqual(tracesOf(store), []);
});

test("kill sends any signal; one that does not run takes none", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "trap 'echo got it' USR1; echo up; while :; do sleep 0.1; done");
  await until(() => store.ok("logs", "c") === "up");
  store.ok("kill", "-s", "usr1", "c");
  await until(() => store.ok("logs", "c") === "up\ngot it");
  assert.equal(store.run(["kill", "-s", "nosuch", "c"]).exitCode, 2);
  store.ok("kill", "c");
  assert.equal(store.ok("wait", "c"), "137");
  const refused = store.run(["kill", "c"]);
  assert.equal(refused.exitCode, 4);
  assert.match(refused.stderr, /ERR_CONTAINER_STOPPED/);
});

test("a container that has ended starts again on its changes", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "echo x >>/count; cat /count; echo --", "-e", "A=1");
  assert.equal(store.ok("wait", "c"), "0");
  assert.equal(store.ok("start", "c"), "c");
  assert.equal(store.ok("wait", "c"), "0");
  assert.equal(store.ok("logs", "c"), "x\n--\nx\nx\n--");
  assert.match(store.ok("diff", "c"), /A \/count/);
  assert.equal(store.run(["start", "nosuch"]).exitCode, 3);
});

test("one that runs is neither started nor removed; rm -f does it", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "sleep 1000");
  assert.equal(store.run(["start", "c"]).exitCode, 4);
  const refused = store.run(["rm", "c"]);
  assert.equal(refused.exitCode, 4);
  assert.match(refused.stderr, /it is running.*ERR_CONTAINER_RUNNING/);
  const several = store.run(["rm", "-f", "nosuch", "c", "nothing"]);
  assert.deepEqual([several.exitCode, several.stdout.toString()], [3, "c\n"]);
  assert.match(several.stderr, /"nosuch".*ERR_SNAPSHOT_NOT_FOUND[\s\S]*"nothing".*ERR_SNAPSHOT_NOT_FOUND/);
  assert.deepEqual(listed(store), []);
  assert.deepEqual(tracesOf(store), []);
  assert.deepEqual(readdirSync(join(store.root, "snapshots")), []);
});

test("a copy of the mount table that somebody has keeps no container", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "sleep 1000");
  const copy = spawn("unshare", ["-m", "sleep", "1000"], { stdio: "ignore" });
  try {
    await until(() => /^sleep/.test(readFileSync(`/proc/${copy.pid}/cmdline`, "latin1")));
    assert.match(readFileSync(`/proc/${copy.pid}/mountinfo`, "utf8"), new RegExp(`${store.root}/snapshots/1/merged `));
    const visitor = spawn("sleep", ["0.5"], { cwd: join(store.root, "snapshots/1/merged") }); // is waited for
    store.ok("stop", "-t", "0", "c");
    assert.deepEqual([mountsBelow(store.path), store.ok("wait", "c")], [[], "137"]);
    visitor.kill("SIGKILL");
    store.ok("start", "c");
    store.ok("rm", "-f", "c");
    assert.equal(store.inside(["bb:1", "true"]).exitCode, 0);
    assert.deepEqual(readdirSync(join(store.root, "snapshots")), []);
  } finally {
    copy.kill("SIGKILL");
    await once(copy, "exit");
  }
});

test("logs -f goes on until the end", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done");
  assert.equal(store.ok("logs", "-f", "c"), "1\n2\n3\n4\n5");
});

test("a terminal's output is kept as well, and an open input stays open", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "tty; read x", "-t");
  await until(() => store.ok("logs", "c").startsWith("/dev/pts/0"));
  assert.equal(listed(store)[0]?.state, "running");
  store.ok("rm", "-f", "c");
  detach(store, "echo up; cat; echo end", "-i");
  await until(() => store.ok("logs", "c") === "up");
  await sleep(200);
  assert.equal(store.ok("logs", "c"), "up");
  store.ok("rm", "-f", "c");
  assert.deepEqual(tracesOf(store), []);
});

test("--rm goes when it ends, whoever waits", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "trap 'exit 6' TERM; while :; do sleep 0.05; done", "--rm");
  const waiting = spawn(LAYERCTL, ["--root", store.root, "wait", "c"], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  waiting.stdout?.on("data", (bytes: Buffer) => {
    output += bytes.toString();
  });
  await until(() => existsSync(join(store.root, "locks", "container-waiters-1"))); // it waits
  store.ok("kill", "-s", "TERM", "c");
  await once(waiting, "close");
  assert.equal(output, "6\n");
  await until(() => readdirSync(join(store.root, "snapshots")).length === 0);
  assert.deepEqual([listed(store), tracesOf(store)], [[], []]);
});

test("the container of a killed monitor ends with it, and the next command takes away the rest", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  detach(store, "sleep 1000");
  const pid = listed(store)[0]?.pid ?? 0;
  process.kill(monitorOf(pid), "SIGKILL");
  await until(() => !existsSync(`/proc/${pid}`) && tracesOf(store).every((trace) => !trace.startsWith("process")));
  const { stdout, stderr } = store.run(["ps", "-a"]);
  assert.match(stderr, /container\.lost/);
  assert.match(stdout.toString(), / lost$/m);
  assert.deepEqual(tracesOf(store), []);
  assert.match(store.run(["wait", "c"]).stderr, /nobody saw it end/);
  store.ok("start", "c");
  store.ok("rm", "-f", "c");
});

for (const runtime of ["crun", "runc"]) {
  test(`--runtime ${runtime} runs detached too`, {
    skip: needsContainers === false ? requires(`program:${runtime}`) : needsContainers,
  }, async () => {
    await using store = busyboxStore();
    detach(store, "echo $$; sleep 1000", "--runtime", runtime);
    await until(() => store.ok("logs", "c") === "1");
    store.ok("stop", "-t", "0", "c");
    assert.equal(store.ok("wait", "c"), "137");
    assert.deepEqual(tracesOf(store), []);
  });
}
