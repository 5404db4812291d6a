/** System calls that a container may not make: by the runtimes; layerctl's own launcher loads no filter, and says so. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { busyboxStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { requires } from "../helpers/requires.ts";

const PROFILE = JSON.stringify({
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 38 }],
});

for (const runtime of ["crun", "runc"] as const) {
  test(`${runtime} has the default filter, another, or none`, {
    skip: needsContainers || requires(`program:${runtime}`),
  }, async () => {
    await using store = busyboxStore();
    const by = (script: string, ...options: readonly string[]): string =>
      store.shell(script, "--runtime", runtime, ...options);
    const mode = "grep '^Seccomp:' /proc/self/status | cut -f2";
    assert.equal(by(mode), "2");
    assert.equal(by(mode, "--security-opt", "seccomp=unconfined"), "0");
    assert.equal(by(mode, "--privileged"), "0");
    // What every user may do where nothing filters it.
    const nested = "unshare -Ur true 2>/dev/null && echo made; true";
    assert.equal(by(nested), "");
    assert.equal(by(nested, "--security-opt", "seccomp=unconfined"), "made");
    assert.equal(by(nested, "--cap-add", "SYS_ADMIN"), "made");
    const file = join(store.path, "profile.json");
    writeFileSync(file, PROFILE);
    assert.equal(
      by(
        "mkdir /x 2>&1 | grep -o 'not implemented'; unshare -Ur true && echo made",
        "--security-opt",
        `seccomp=${file}`,
      ),
      "not implemented\nmade",
    );
    assert.deepEqual(tracesOf(store), []);
  });
}

test("a profile is refused where none is loaded, and a bundle has it", { skip: needsContainers }, async () => {
  await using store = busyboxStore();
  const file = join(store.path, "profile.json");
  writeFileSync(file, PROFILE);
  const refused = (words: RegExp, ...options: readonly string[]): void => {
    const { exitCode, stderr } = store.inside([...options, "bb:1", "true"]);
    assert.equal(exitCode, 125);
    assert.match(stderr, words);
  };
  refused(/use --runtime crun or runc with it .*ERR_SECCOMP_LAUNCHER/, "--security-opt", `seccomp=${file}`);
  refused(/Cannot read the seccomp profile.*ENOENT/, "--security-opt", `seccomp=${file}.none`);
  refused(/seccomp=unconfined, builtin or FILE/, "--security-opt", "seccomp");
  assert.equal(store.shell("echo ran", "--security-opt", "seccomp=unconfined"), "ran");
  const bundle = join(store.path, "bundle");
  store.ok("bundle", "--name", "bundled", "--security-opt", `seccomp=${file}`, "bb:1", bundle, "true");
  const { linux } = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as {
    linux: { seccomp: { syscalls: unknown } };
  };
  assert.deepEqual(linux.seccomp.syscalls, [
    { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", args: [], errnoRet: 38 },
  ]);
});
