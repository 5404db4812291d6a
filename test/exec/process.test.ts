/** What a command in a container is given, and how its end is told. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { busyboxStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";

test("the exit code is the command's, or docker's for what could not be run", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const expected: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["bb:1", "true"], 0, /^$/],
    [["bb:1", "sh", "-c", "exit 7"], 7, /^$/],
    [["bb:1", "sh", "-c", "sh -c 'kill -TERM $$'; exit $?"], 143, /Terminated/],
    [["bb:1", "nosuch"], 127, /"nosuch": it is in no directory of PATH .*ERR_COMMAND_NOT_FOUND/],
    [["bb:1", "/no/such"], 127, /there is no such file/],
    [["bb:1", "/etc/passwd"], 126, /it is not executable .*ERR_COMMAND_NOT_EXECUTABLE/],
    [["bb:1", "/etc"], 126, /it is not a file/],
    [["bb:1"], 125, /ERR_NO_COMMAND/],
    [["other:1", "true"], 125, /ERR_IMAGE_NOT_FOUND/],
    [["-u", "nobody", "bb:1", "true"], 125, /ERR_USER_NOT_FOUND/],
    [["-w", "relative", "bb:1", "true"], 125, /ERR_WORKDIR/],
    [["-w", "/proc/self/fd/7", "bb:1", "true"], 125, /it is no directory.*ERR_WORKDIR/],
    [["--runtime", "/no/runtime", "bb:1", "true"], 125, /ERR_RUNTIME_NOT_FOUND/],
    [["--nonsense", "bb:1", "true"], 125, /unknown option/],
  ];
  for (const [args, exitCode, words] of expected) {
    const outcome = store.inside(args);
    assert.equal(outcome.exitCode, exitCode, `${args.join(" ")}: ${outcome.stderr}`);
    assert.match(outcome.stderr, words, args.join(" "));
  }
  assert.deepEqual(tracesOf(store), []);
  assert.equal(store.ok("mounts", "--json").includes('"name"'), false, "no snapshot stays");
});

test("a command is process 1 and has three descriptors, whatever layerctl was given", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const extra = openSync(join(store.path, "bb.tar"), "r");
  const child = spawn(
    LAYERCTL,
    ["--root", store.root, "run", "--rm", "bb:1", "sh", "-c", "echo $$; ls /proc/1/fd; true"],
    {
      stdio: ["ignore", "pipe", "inherit", extra, extra],
    },
  );
  let output = "";
  child.stdout?.on("data", (bytes: Buffer) => {
    output += bytes.toString();
  });
  await once(child, "close");
  assert.equal(output, "1\n0\n1\n2\n");
});

test("standard input is the command's with -i, and nothing without", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const input = Buffer.from("line\n");
  assert.equal(store.inside(["-i", "bb:1", "cat"], { input }).stdout.toString(), "line\n");
  assert.equal(store.inside(["bb:1", "cat"], { input }).stdout.toString(), "");
  const { stdout, stderr } = store.inside(["bb:1", "sh", "-c", "echo out; echo err >&2"]);
  assert.deepEqual([stdout.toString(), stderr], ["out\n", "err\n"]);
});

test("user and groups are those of the image's files", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  assert.equal(store.shell("id; echo $HOME", "-u", "app"), "uid=1000(app) gid=1000(app) groups=77(extra)\n/home/app");
  assert.equal(store.shell("id; echo $HOME", "-u", "5:extra"), "uid=5 gid=77(extra)\n/");
  assert.equal(store.shell("id -G"), "0");
});

test("the environment holds what was given, and reaches no program of the host", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const variables = ["A=1 two", "LD_PRELOAD=/no/such.so", "odd.name=x", "EMPTY=", "GIVEN", "ABSENT"];
  const options = variables.flatMap((variable) => ["-e", variable]);
  const { stdout, stderr } = store.inside([...options, "--hostname", "h", "bb:1", "env"], {
    env: { GIVEN: "outside" },
  });
  assert.equal(stderr, "");
  const lines = new Set(stdout.toString().trim().split("\n"));
  lines.delete("SHLVL=0"); // the shell's, where names that are none of a shell's go through bash
  assert.deepEqual([...lines].sort(), [
    ...["A=1 two", "EMPTY=", "GIVEN=outside", "HOME=/root", "HOSTNAME=h", "LD_PRELOAD=/no/such.so"],
    ...["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "odd.name=x"],
  ]);
});

test("a variable that bash keeps for itself is passed on by another shell", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  assert.equal(store.shell("echo $UID $PWD $OLDPWD", "-e", "UID=5", "-e", "OLDPWD=/x"), "5 / /x");
  const both = store.inside(["-e", "UID=5", "-e", "odd.name=x", "bb:1", "true"]);
  assert.equal(both.exitCode, 125);
  assert.match(both.stderr, /ERR_ENVIRONMENT_NAME/);
});

test("arguments arrive as they are, and the working directory is made", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const args = ["", "a b", "*", "$HOME", "--", "-n", "'", "\n", "ü"];
  const { stdout } = store.inside(["bb:1", "sh", "-c", 'printf "%s|" "$@"', "sh", ...args]);
  assert.equal(stdout.toString(), args.map((word) => `${word}|`).join(""));
  assert.equal(store.shell("pwd", "-w", "/made/here"), "/made/here");
  assert.equal(store.inside(["--entrypoint", "/bin/echo", "bb:1", "x", "--json"]).stdout.toString(), "x --json\n");
});

test("signals go to the command", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const script =
    "trap 'echo got TERM; exit 3' TERM; trap 'echo got USR1' USR1; echo ready; while :; do sleep 0.1; done";
  const child = spawn(LAYERCTL, ["--root", store.root, "run", "--rm", "bb:1", "sh", "-c", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  for await (const bytes of child.stdout ?? []) {
    output += (bytes as Buffer).toString();
    if (output === "ready\n") child.kill("SIGUSR1");
    if (output === "ready\ngot USR1\n") child.kill("SIGTERM");
  }
  if (child.exitCode === null) await once(child, "exit");
  assert.deepEqual([output, child.exitCode], ["ready\ngot USR1\ngot TERM\n", 3]);
  assert.deepEqual(tracesOf(store), []);
});

test("without root it is said that a container takes root", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const args = ["-Ur", LAYERCTL, "--root", store.root, "run", "--rm", "bb:1", "true"];
  const { status, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  assert.equal(status, 125);
  assert.match(stderr, /ERR_NEEDS_ROOT/);
  assert.deepEqual(tracesOf(store), []);
});
