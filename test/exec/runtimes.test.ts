/** The same command lines through OCI runtimes, and bundles for them. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { busyboxStore, needsContainers, tracesOf } from "../helpers/busybox.ts";
import { requires } from "../helpers/requires.ts";

interface Config {
  readonly process: { readonly args: readonly string[] };
  readonly hooks: { readonly poststop: readonly { path: string; args: string[]; env: string[] }[] };
}

for (const runtime of ["crun", "runc"]) {
  const skip = needsContainers === false ? requires(`program:${runtime}`) : needsContainers;

  test(`--runtime ${runtime} runs what layerctl runs itself, in the same way`, { skip }, async () => {
    await using store = busyboxStore();
    const lines: readonly (readonly string[])[] = [
      ["bb:1", "sh", "-c", "echo $$; exit 7"],
      ["bb:1", "nosuch"],
      ["-u", "app", "-w", "/home/app", "-e", "A=b c", "bb:1", "sh", "-c", 'id; pwd; echo "$A $HOME $HOSTNAME"'],
      ["--hostname", "h", "--read-only", "--tmpfs", "/t", "bb:1", "sh", "-c", "hostname; touch /t/x /x 2>&1"],
      ["--cap-drop", "ALL", "--cap-add", "kill", "bb:1", "grep", "CapEff", "/proc/self/status"],
      ["-v", `${store.path}:/v:ro`, "bb:1", "sh", "-c", "ls /v/bb.tar; touch /v/x 2>&1"],
      ["--device", "/dev/loop-control:/dev/x:r", "bb:1", "sh", "-c", "ls -l /dev/x | cut -c1; : >>/dev/x"],
      [
        "--security-opt",
        "no-new-privileges",
        "--ulimit",
        "nofile=100",
        "bb:1",
        "sh",
        "-c",
        "ulimit -n; grep NoNew /proc/1/status",
      ],
    ];
    for (const args of lines) {
      const named = ["--name", "same", ...args];
      const own = store.inside(named);
      const other = store.inside(["--runtime", runtime, ...named]);
      assert.deepEqual(
        [other.exitCode, other.stdout.toString()],
        [own.exitCode, own.stdout.toString()],
        args.join(" "),
      );
    }
    assert.deepEqual(tracesOf(store), []);
  });

  test(`a command that ends at once has run, through ${runtime} too`, { skip }, async () => {
    await using store = busyboxStore();
    for (let turn = 0; turn < 8; turn++) {
      assert.equal(store.inside(["--runtime", runtime, "bb:1", "true"]).exitCode, 0, `turn ${turn}`);
    }
  });

  test(`a bundle is what ${runtime} runs`, { skip }, async () => {
    await using store = busyboxStore();
    const bundle = join(store.path, "bundle");
    assert.equal(store.ok("bundle", "--name", "b", "--rm", "bb:1", bundle, "echo", "hello"), "b");
    const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as Config;
    assert.deepEqual(config.process.args, ["echo", "hello"]);
    const run = `umount /sys/fs/cgroup/unified 2>/dev/null; exec ${runtime} --root ${store.path}/state run --bundle ${bundle} layerctl-test-b`;
    const { stdout, stderr } = spawnSync("unshare", ["-m", "sh", "-c", run], { encoding: "utf8" });
    assert.equal(stdout, "hello\n", stderr);
    assert.equal(store.run(["bundle", "bb:1", bundle, "true"]).exitCode, 4); // it is not empty
    // Run by the runtime they found the mount of a copied namespace. Here they are run as on a host that needs no copy.
    for (const { path, args, env } of config.hooks.poststop) {
      const options = { argv0: args[0], env: Object.fromEntries(env.map((line) => line.split("="))) };
      spawnSync(path, args.slice(1), { ...options, input: "{}" });
    }
    assert.deepEqual(JSON.parse(store.ok("mounts", "--json")), { snapshots: [] });
    assert.equal(existsSync(join(bundle, "rootfs")), false);
    assert.deepEqual(tracesOf(store), []);
  });
}
