/** --init: process 1 reaps what the command leaves, passes signals on, and ends as the command does. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { busyboxStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { terminalSession } from "../helpers/terminal-session.ts";

const skip = needsContainers === false ? requires("program:bash", "program:script") : needsContainers;

async function until(what: () => boolean): Promise<void> {
  for (let turn = 0; !what(); turn++) {
    if (turn > 500) throw new Error("it never came");
    await sleep(20);
  }
}

test("with --init the command is the child of process 1, which reaps orphans; without, they stay", {
  skip,
}, async () => {
  await using store = busyboxStore();
  assert.equal(store.shell("echo $$", "--init"), "2");
  // Process 1, or its child, waits for nobody; what it left behind ends at once.
  const script = "sh -c 'sleep 0 & exec true'; exec sleep 1000";
  const ended = "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l";
  store.ok("run", "-d", "--name", "without", "bb:1", "sh", "-c", script);
  await until(() => store.ok("exec", "without", "sh", "-c", ended) === "1");
  store.ok("run", "-d", "--name", "with", "--init", "bb:1", "sh", "-c", script);
  await until(() => store.ok("exec", "with", "ps").includes("sleep 1000"));
  await until(() => store.ok("exec", "with", "sh", "-c", ended) === "0");
  store.ok("rm", "-f", "with", "without");
  assert.deepEqual(tracesOf(store), []);
});

test("with --init the exit code, the input, the environment and the descriptors are the command's", {
  skip,
}, async () => {
  await using store = busyboxStore();
  const code = (...args: readonly string[]): number => store.inside(["--init", "bb:1", ...args]).exitCode;
  assert.deepEqual([code("true"), code("sh", "-c", "exit 7"), code("nosuch"), code("/etc/passwd")], [0, 7, 127, 126]);
  assert.equal(code("sh", "-c", "kill -9 $$"), 137);
  assert.equal(
    store.inside(["--init", "-i", "bb:1", "cat"], { input: Buffer.from("line\n") }).stdout.toString(),
    "line\n",
  );
  const words = ["", "a b", "*", "'", "\n", "ü"];
  const { stdout } = store.inside([
    "--init",
    "-e",
    "SECRET=of the user",
    "bb:1",
    "sh",
    "-c",
    'printf "%s|" "$@"; env | sort; ls /proc/$$/fd; true',
    "sh",
    ...words,
  ]);
  const [printed = "", ...rest] = stdout.toString().split("HOME=");
  assert.equal(printed, words.map((word) => `${word}|`).join(""));
  assert.match(rest.join(""), /^\/root\nHOSTNAME=\S+\nPATH=\S+\nPWD=\/\nSECRET=of the user\nSHLVL=1\n0\n1\n2\n$/);
  assert.equal(
    store.shell(`grep -c -e SECRET -e ${store.path} /proc/1/cmdline; true`, "--init", "-e", "SECRET=1"),
    "0",
  );
  assert.equal(
    store
      .shell("ulimit -n; id -u; grep CapBnd /proc/1/status", "--init", "-u", "app", "--cap-drop", "ALL")
      .split("\n")
      .slice(1)
      .join(),
    `1000,CapBnd:\t${"0".repeat(16)}`,
  );
});

test("with --init signals reach the command, more than one, and stop ends it in a friendly way", { skip }, async () => {
  await using store = busyboxStore();
  const script =
    "trap 'echo got USR1' USR1; trap 'echo got INT' INT; trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.1; done";
  store.ok("run", "-d", "--init", "--name", "c", "bb:1", "sh", "-c", script);
  await until(() => store.ok("logs", "c") === "up");
  for (const [signal, words] of [
    ["USR1", "up\ngot USR1"],
    ["INT", "up\ngot USR1\ngot INT"],
    ["USR1", "up\ngot USR1\ngot INT\ngot USR1"],
  ] as const) {
    store.ok("kill", "-s", signal, "c");
    await until(() => store.ok("logs", "c") === words);
  }
  assert.equal(store.ok("exec", "c", "sh", "-c", "echo $PPID"), "0");
  store.ok("stop", "c");
  assert.equal(store.ok("wait", "c"), "4");
  assert.deepEqual(tracesOf(store), []);
});

test("with --init and a terminal its keys interrupt the command, once", { skip }, async () => {
  await using store = busyboxStore();
  const script =
    'trap "echo int; n=1" INT; echo ready; while :; do sleep 0.1; [ -n "$n" ] && sleep 0.3 && exit 3; done';
  await using session = terminalSession(`${LAYERCTL} --root ${store.root} run --rm -it --init bb:1 sh -c '${script}'`);
  await session.until(/ready\r\n/);
  session.type("\x03");
  assert.equal(await session.end(), 3);
  assert.equal(session.shown.match(/int\r\n/g)?.length, 1);
});
