/** What becomes of a command when its terminal is closed. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LAYERCTL, type TestStore, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { file, tar } from "../helpers/tar-builder.ts";

/** An import that waits for its source, already at work in `tmp`. */
async function waitingImport(store: TestStore, ...before: readonly string[]): Promise<ChildProcess> {
  store.make();
  const [program = "", ...words] = [...before, LAYERCTL, "--root", store.root, "import", "-", "--rootfs", "-n", "a:1"];
  const child = spawn(program, words, { stdio: ["pipe", "ignore", "ignore"] });
  while (readdirSync(join(store.root, "tmp")).length === 0 && child.exitCode === null) await sleep(5);
  return child;
}

test("two hangups, of the terminal and of its shell, cancel once and leave nothing unfinished", async () => {
  await using store = temporaryStore();
  const child = await waitingImport(store);
  child.kill("SIGHUP");
  child.kill("SIGHUP");
  await sleep(1);
  child.kill("SIGHUP");
  assert.deepEqual(await once(child, "exit"), [129, null]);
  assert.deepEqual(readdirSync(join(store.root, "tmp")), []);
});

test("a command that nohup started goes on when the terminal is closed", { skip: requires("root") }, async () => {
  await using store = temporaryStore();
  const child = await waitingImport(store, "nohup");
  child.kill("SIGHUP");
  await sleep(100);
  child.stdin?.end(tar(file("f", "content")));
  assert.deepEqual(await once(child, "exit"), [0, null]);
  assert.match(store.ok("images"), /^a:1 /m);
});

test("a terminal that goes away while a bar is drawn on it leaves nothing unfinished", {
  skip: requires("root", "program:python3"),
}, async () => {
  await using store = temporaryStore();
  const source = join(store.path, "source");
  spawnSync("mkfifo", [source]);
  const script = `
import os, pty, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "--root", sys.argv[2], "import", sys.argv[3]])
feed = os.open(sys.argv[3], os.O_WRONLY)
os.write(feed, b"x" * 60000)
os.read(terminal, 1)
os.close(terminal)
try:
    for _ in range(20):
        os.write(feed, b"x" * 60000)
        time.sleep(0.02)
except BrokenPipeError:
    pass
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
  writeFileSync(join(store.path, "script.py"), script);
  const { stdout, stderr } = spawnSync("python3", [join(store.path, "script.py"), LAYERCTL, store.root, source], {
    encoding: "utf8",
    timeout: 30_000,
  });
  assert.equal(stdout, "129\n", stderr);
  assert.equal(existsSync(store.root), false); // nor a store, of what was no image yet
});
