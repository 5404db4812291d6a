/** Further commands in a container that runs: what they are given, how they end, and that nothing of the host comes along. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, copyFileSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inReadOnlyCopy } from "../../src/sys/namespaces.ts";
import { busyboxStore, type ContainerStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { terminalSession } from "../helpers/terminal-session.ts";

function detach(store: ContainerStore, script: string, ...options: readonly string[]): void {
  store.ok("run", "-d", "--name", "c", ...options, "bb:1", "sh", "-c", script);
}

/** Until something is true, looking again and again. */
async function until(what: () => boolean): Promise<void> {
  for (let turn = 0; !what(); turn++) {
    if (turn > 500) throw new Error("it never came");
    await sleep(20);
  }
}

const RUNTIMES: readonly (readonly string[])[] = [[], ["--runtime", "crun"], ["--runtime", "runc"]];

for (const runtime of RUNTIMES) {
  const [, name = "layerctl itself"] = runtime;
  const skip = needsContainers === false && runtime.length > 0 ? requires(`program:${name}`) : needsContainers;

  test(`exec runs a command in a container of ${name}: its namespaces, its group, its user`, { skip }, async () => {
    await using store = busyboxStore();
    const options = ["-e", "A=of the container", "-w", "/home", "--cap-drop", "NET_RAW", "--ulimit", "nofile=100:100"];
    detach(store, "sleep 1000", ...options, "--security-opt", "no-new-privileges", "--memory", "64m", ...runtime);
    const sh = (script: string, ...more: readonly string[]): string =>
      store.ok("exec", ...more, "c", "sh", "-c", script);
    const namespaces = "for n in /proc/$P/ns/*; do readlink $n; done; cat /proc/$P/cgroup";
    assert.equal(sh(`P=self; ${namespaces}`), sh(`P=1; ${namespaces}`));
    assert.equal(sh("grep -e Cap -e NoNew /proc/self/status"), sh("grep -e Cap -e NoNew /proc/1/status"));
    assert.equal(sh("cat /proc/self/limits"), sh("cat /proc/1/limits"));
    assert.equal(
      sh("ulimit -n; pwd; echo $A $B $HOME", "-e", "B=of exec"),
      "100\n/home\nof the container of exec /root",
    );
    assert.equal(
      sh("id; pwd; echo $HOME", "-u", "app", "-w", "/tmp"),
      "uid=1000(app) gid=1000(app) groups=77(extra)\n/tmp\n/home/app",
    );
    assert.match(sh("grep CapEff /proc/self/status", "--privileged"), /[0-9a-f]*f{6}$/);
    assert.equal(sh("set -- /proc/[0-9]*; echo $#"), "2"); // process 1 and the shell
    store.ok("rm", "-f", "c");
    assert.deepEqual(tracesOf(store), []);
  });

  test(`the exit code of exec is docker's, in a container of ${name}`, { skip }, async () => {
    await using store = busyboxStore();
    detach(store, "echo 'exit 0' >/script; chmod 711 /script; echo up; sleep 1000", ...runtime);
    await until(() => store.ok("logs", "c") === "up");
    const expected: readonly (readonly [readonly string[], number, RegExp])[] = [
      [["c", "true"], 0, /^$/],
      [["c", "sh", "-c", "exit 7"], 7, /^$/],
      [["c", "sh", "-c", "kill -TERM $$"], 143, /^$/],
      [["c", "nosuch"], 127, /ERR_COMMAND_NOT_FOUND/],
      [["c", "/etc/passwd"], 126, /ERR_COMMAND_NOT_EXECUTABLE/],
      [["-u", "nobody", "c", "true"], 125, /ERR_USER_NOT_FOUND/],
      [["-w", "relative", "c", "true"], 125, /ERR_WORKDIR/],
      [["-w", "/nosuch", "c", "true"], 125, /there is no such directory.*ERR_WORKDIR/],
      [["other", "true"], 125, /ERR_SNAPSHOT_NOT_FOUND/],
      [["-it", "c", "true"], 125, /ERR_NO_TERMINAL/],
    ];
    for (const [args, exitCode, words] of expected) {
      const outcome = store.run(["exec", ...args]);
      assert.equal(outcome.exitCode, exitCode, `${args.join(" ")}: ${outcome.stderr}`);
      assert.match(outcome.stderr, words, args.join(" "));
    }
    const input = Buffer.from("line\n");
    assert.equal(store.run(["exec", "-i", "c", "cat"], { input }).stdout.toString(), "line\n");
    assert.equal(store.run(["exec", "c", "cat"], { input }).stdout.toString(), "");
  });

  test(`exec -it has a terminal of the user's size, in a container of ${name}`, {
    skip: skip === false ? requires("program:script") : skip,
  }, async () => {
    await using store = busyboxStore();
    detach(store, "sleep 1000", ...runtime);
    const inner = "tty; stty size; read line; echo got $line; echo >/dev/tty to the terminal; exit 5";
    await using session = terminalSession(`${LAYERCTL} --root ${store.root} exec -it -u app c sh -c '${inner}'`);
    await session.until(/^\/dev\/pts\/0\r\n33 99\r\n/); // what is typed before that is the user's own terminal's yet
    session.type("typed\n");
    await session.until(/\r\ngot typed\r\nto the terminal\r\n/);
    assert.equal(await session.end(), 5);
  });

  test(`exec -d leaves the command to itself, and it ends with its container of ${name}`, { skip }, async () => {
    await using store = busyboxStore();
    detach(store, "sleep 1000", ...runtime);
    assert.equal(store.ok("exec", "-d", "c", "sh", "-c", "echo here >/made; exec sleep 4712"), "");
    await until(() => store.run(["exec", "c", "grep", "-q", "here", "/made"]).exitCode === 0);
    assert.match(store.ok("exec", "c", "ps"), /sleep 4712/);
    assert.equal(store.run(["exec", "-d", "c", "nosuch"]).exitCode, 127);
    store.ok("rm", "-f", "c");
    assert.deepEqual(tracesOf(store), []);
  });
}

test("in a container that is stopped or paused exec says so", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  detach(store, "sleep 1000");
  store.ok("pause", "c");
  const paused = store.run(["exec", "c", "true"]);
  assert.equal(paused.exitCode, 125);
  assert.match(paused.stderr, /it is paused; "layerctl unpause c".*ERR_CONTAINER_PAUSED/);
  store.ok("unpause", "c");
  store.ok("stop", "-t", "0", "c");
  const stopped = store.run(["exec", "c", "true"]);
  assert.equal(stopped.exitCode, 125);
  assert.match(stopped.stderr, /it is not running; "layerctl start c".*ERR_CONTAINER_STOPPED/);
});

test("signals go to the command; one that is alone in front ends with layerctl, whatever ends it", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  detach(store, "sleep 1000");
  const script = "trap 'echo got TERM; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
  const child = spawn(LAYERCTL, ["--root", store.root, "exec", "c", "sh", "-c", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  for await (const bytes of child.stdout ?? []) {
    output += (bytes as Buffer).toString();
    if (output === "ready\n") child.kill("SIGTERM");
  }
  if (child.exitCode === null) await once(child, "exit");
  assert.deepEqual([output, child.exitCode], ["ready\ngot TERM\n", 3]);
  const killed = spawn(LAYERCTL, ["--root", store.root, "exec", "c", "sh", "-c", "echo ready; exec sleep 4713"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(killed.stdout ?? killed, "data");
  killed.kill("SIGKILL");
  await until(() => !store.ok("exec", "c", "ps").includes("sleep 4713"));
});

test("a command of exec has three descriptors, and no program of the host is its own", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  detach(store, "ln -s /proc/self/exe /self; mkdir /dir; ln -s /proc/self/fd /dir/fd; sleep 1000");
  await until(() => store.run(["exec", "c", "test", "-e", "/dir/fd"]).exitCode === 0);
  const extra = openSync(join(store.path, "bb.tar"), "r");
  const child = spawn(LAYERCTL, ["--root", store.root, "exec", "c", "sh", "-c", "ls /proc/$$/fd; true"], {
    stdio: ["ignore", "pipe", "inherit", extra, extra],
  });
  let output = "";
  child.stdout?.on("data", (bytes: Buffer) => {
    output += bytes.toString();
  });
  await once(child, "close");
  closeSync(extra);
  assert.equal(output, "0\n1\n2\n");
  for (const command of ["/self", "/proc/self/exe", "/proc/1/exe"]) {
    const { exitCode, stderr } = store.run(["exec", "c", command]);
    assert.ok(exitCode === 126 || exitCode === 127, `${command}: ${stderr}`);
  }
  for (let fd = 3; fd < 12; fd++) {
    const { exitCode, stderr } = store.run(["exec", "-w", `/dir/fd/${fd}`, "c", "true"]);
    assert.equal(exitCode, 125, `${fd}: ${stderr}`); // CVE-2024-21626
  }
});

test("a container that may trace others sees nothing in exec that is more than its own", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  // Every process that comes up, again and again: its capabilities, this host's tree, and directories that it has open.
  const look = `cd /proc; while :; do for p in [0-9]*; do
      { grep CapPrm $p/status; ls -d $p/root${store.root} $p/cwd${store.root}
        for f in $p/fd/*; do [ -d $f ] && echo open directory; done; } 2>/dev/null
    done >>/seen; done`;
  detach(store, look, "--cap-add", "SYS_PTRACE");
  await until(() => store.run(["exec", "c", "test", "-s", "/seen"]).exitCode === 0);
  for (let turn = 0; turn < 10; turn++) store.ok("exec", "c", "true");
  assert.equal(store.ok("exec", "c", "sort", "-u", "/seen"), "CapPrm:\t00000000a80c25fb");
});

test("a program that was started in the read-only copy cannot be written to through /proc", {
  skip: needsContainers,
}, async () => {
  await using store = busyboxStore();
  const program = join(store.path, "program");
  copyFileSync(spawnSync("sh", ["-c", "command -v sleep"], { encoding: "utf8" }).stdout.trim(), program);
  const write = async (start: <Result>(work: () => Result) => Result): Promise<string> => {
    const child = start(() => spawn(program, ["1000"], { stdio: "ignore" }));
    const place = openSync(`/proc/${child.pid}/exe`, 0o10000000); // O_PATH: the file itself, for later
    child.kill("SIGKILL");
    await once(child, "exit");
    try {
      closeSync(openSync(`/proc/self/fd/${place}`, constants.O_WRONLY));
      return "written";
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? "";
    } finally {
      closeSync(place);
    }
  };
  assert.equal(await write((work) => work()), "written");
  assert.equal(await write(inReadOnlyCopy), "EROFS");
  assert.ok(readFileSync("/proc/self/mountinfo", "latin1").length > 0, "this thread is back where it was");
  assert.equal(spawnSync("sh", ["-c", `: >${join(store.path, "x")}`]).status, 0);
});
