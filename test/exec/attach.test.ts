/** Joined with a container's input and output: attach, start -a, and the keys that leave it. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { terminalSession } from "../helpers/terminal-session.ts";

const skip = needsContainers === false ? requires("program:script") : needsContainers;

const [CTRL_P, CTRL_Q, CTRL_X] = ["\x10", "\x11", "\x18"];
const PROMPT = /# (?:.\[6n)?$/; // the shell asks where the cursor is

function stateOf(store: ContainerStore): string | undefined {
  const { containers } = JSON.parse(store.ok("ps", "-a", "--json")) as { containers: readonly { state: string }[] };
  return containers[0]?.state;
}

async function until(what: () => boolean): Promise<void> {
  for (let turn = 0; !what(); turn++) {
    if (turn > 500) throw new Error("it never came");
    await sleep(20);
  }
}

test("the detach keys leave a container of run -it running, and attach comes back to it", { skip }, async () => {
  await using store = busyboxStore();
  const layerctl = `${LAYERCTL} --root ${store.root}`;
  await using first = terminalSession(`${layerctl} run -it --name w bb:1 sh`);
  await first.until(PROMPT);
  first.type("A=kept; stty size\n");
  await first.until(/33 99\r\n/);
  first.type(CTRL_P + CTRL_Q);
  await first.until(/detached from "w"/);
  assert.equal(await first.end(), 0);
  assert.equal(stateOf(store), "running");
  await using second = terminalSession(`stty cols 55; ${layerctl} attach --detach-keys ctrl-x w`);
  await second.until(/./); // whatever the shell shows when its terminal gets another size
  second.type("\necho $A; stty size\n");
  await second.until(/kept\r\n33 55\r\n/);
  second.type(`${CTRL_P}${CTRL_Q}\necho still here\n`);
  await second.until(/\r\nstill here\r\n/);
  second.type(CTRL_X);
  assert.equal(await second.end(), 0);
  await using third = terminalSession(`${layerctl} attach w`);
  third.type("\nexit 4\n");
  assert.equal(await third.end(), 4);
  assert.deepEqual([stateOf(store), tracesOf(store)], ["exited", []]);
});

test("run --rm -it is gone when it ends, also when that is at once or for no command", { skip }, async () => {
  await using store = busyboxStore();
  for (const [command, exitCode, words] of [
    ["sh -c 'exit 5'", 5, /^$/],
    ["echo hello", 0, /^hello\r\n$/],
    ["nosuch", 127, /ERR_COMMAND_NOT_FOUND/],
    ["/etc/passwd", 126, /ERR_COMMAND_NOT_EXECUTABLE/],
  ] as const) {
    await using session = terminalSession(`${LAYERCTL} --root ${store.root} run --rm -it bb:1 ${command}`);
    assert.equal(await session.end(), exitCode, command);
    assert.match(session.shown, words);
    assert.deepEqual([readdirSync(join(store.root, "snapshots")), tracesOf(store)], [[], []], command);
  }
});

test("the detach keys leave a command of exec running too", { skip }, async () => {
  await using store = busyboxStore();
  store.ok("run", "-d", "--name", "c", "bb:1", "sleep", "1000");
  await using session = terminalSession(`${LAYERCTL} --root ${store.root} exec -it c sh`);
  await session.until(PROMPT);
  session.type("while sleep 0.1; do echo tick; echo tick >>/ticks; done\n");
  await session.until(/\r\ntick\r\n/);
  session.type(CTRL_P + CTRL_Q);
  await session.until(/detached from the command/);
  assert.equal(await session.end(), 0);
  const count = (): number => Number(store.ok("exec", "c", "sh", "-c", "wc -l </ticks"));
  const before = count();
  await until(() => count() > before + 2);
  store.ok("rm", "-f", "c");
  assert.deepEqual(tracesOf(store), []);
});

test("attach follows what is printed, gives it input, and passes signals on", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const script = "trap 'echo got TERM; exit 6' TERM; echo before; while read line; do echo read $line; done; echo eof";
  store.ok("run", "-d", "-i", "--name", "c", "bb:1", "sh", "-c", script);
  await until(() => store.ok("logs", "c") === "before");
  const attached = spawn(LAYERCTL, ["--root", store.root, "attach", "c"], { stdio: ["pipe", "pipe", "inherit"] });
  attached.stdin?.end("one\ntwo\n"); // the end of it is not the container's
  let output = "";
  for await (const bytes of attached.stdout ?? []) {
    output += (bytes as Buffer).toString();
    if (output === "read one\nread two\n") attached.kill("SIGTERM");
  }
  if (attached.exitCode === null) await once(attached, "exit");
  assert.deepEqual([output, attached.exitCode], ["read one\nread two\ngot TERM\n", 6]);
});

test("start -a prints what this start prints and ends as it does; with -i it reads to the end of the input", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  store.ok("run", "-d", "-i", "--name", "c", "bb:1", "sh", "-c", "echo up; cat; exit 3");
  store.ok("stop", "-t", "0", "c");
  const input = Buffer.from("from outside\n");
  const { exitCode, stdout } = store.run(["start", "-a", "-i", "c"], { input });
  assert.deepEqual([exitCode, stdout.toString()], [3, "up\nfrom outside\n"]);
  const several = store.run(["start", "-a", "c", "d"]);
  assert.deepEqual([several.exitCode, /name one/.test(several.stderr)], [2, true]);
  assert.deepEqual(tracesOf(store), []);
});

test("--sig-proxy=false keeps signals from the command", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  store.ok(
    "run",
    "-d",
    "--name",
    "c",
    "bb:1",
    "sh",
    "-c",
    "trap 'exit 6' TERM; while :; do echo tick; sleep 0.1; done",
  );
  const args = ["--root", store.root, "attach", "--sig-proxy=false", "c"];
  const attached = spawn(LAYERCTL, args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(attached.stdout ?? attached, "data");
  attached.kill("SIGTERM");
  await once(attached, "exit");
  assert.deepEqual([attached.exitCode, stateOf(store)], [143, "running"]);
});

test("what cannot be attached to is said", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const front = spawn(
    LAYERCTL,
    ["--root", store.root, "run", "--name", "f", "bb:1", "sh", "-c", "echo up; sleep 1000"],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  await once(front.stdout ?? front, "data");
  const refused = store.run(["attach", "f"]);
  assert.deepEqual([refused.exitCode, /ERR_NOT_ATTACHABLE/.test(refused.stderr)], [4, true]);
  store.ok("kill", "f");
  await once(front, "exit");
  const stopped = store.run(["attach", "f"]);
  assert.deepEqual([stopped.exitCode, /ERR_CONTAINER_STOPPED/.test(stopped.stderr)], [4, true]);
  store.ok("run", "-d", "-i", "-t", "--name", "t", "bb:1", "sh");
  const noTerminal = store.run(["attach", "t"]);
  assert.deepEqual([noTerminal.exitCode, /ERR_NO_TERMINAL/.test(noTerminal.stderr)], [2, true]);
  for (const keys of ["ctrl-", "ab", "ctrl-1", "a,,b"]) {
    assert.match(store.run(["attach", "--detach-keys", keys, "t"]).stderr, /ERR_DETACH_KEYS/, keys);
  }
});

for (const runtime of ["crun", "runc"]) {
  test(`attach joins a container of ${runtime}`, {
    skip: needsContainers === false ? requires(`program:${runtime}`) : needsContainers,
  }, async () => {
    await using store = busyboxStore();
    store.ok("run", "-d", "-i", "--runtime", runtime, "--name", "c", "bb:1", "sh", "-c", "read x; echo got $x; exit 9");
    const { exitCode, stdout } = store.run(["attach", "c"], { input: Buffer.from("it\n") });
    assert.deepEqual([exitCode, stdout.toString()], [9, "got it\n"]);
    assert.deepEqual(tracesOf(store), []);
  });
}
