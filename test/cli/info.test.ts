import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";

test("info tells a user who may write neither to the store nor elsewhere what is in the way", {
  skip: requires("root"),
}, async () => {
  await using store = temporaryStore();
  chmodSync(store.path, 0o755);
  store.make();
  const infoWith = (temporary: string) => {
    const env = { PATH: process.env.PATH, TMPDIR: temporary };
    const options = { uid: 1000, gid: 1000, encoding: "utf8", env } as const;
    const { status, stdout, stderr } = spawnSync(LAYERCTL, ["--root", store.root, "--json", "info"], options);
    assert.deepEqual([status, stderr], [0, ""]);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; works: boolean; detail: string }[] };
    return new Map(checks.map((check) => [check.name, check]));
  };
  const tried = infoWith("/tmp");
  assert.match(tried.get("store")?.detail ?? "", /cannot be written: EACCES/);
  assert.equal(tried.get("owners of files")?.works, false);
  assert.match(infoWith(join(store.path)).get("temporary files")?.detail ?? "", /cannot be written: EACCES/);
  const own = JSON.parse(store.ok("info", "--json")) as { checks: { name: string; works: boolean }[] };
  assert.deepEqual([own.checks[0]?.name, own.checks[0]?.works], ["store", true]);
});

test("without /proc a command says what is missing, and info shows it", { skip: requires("root") }, async () => {
  await using store = temporaryStore();
  const script = 'umount -l /proc && { "$@" images; echo $?; "$@" info; }';
  const args = ["--mount", "sh", "-c", script, "sh", LAYERCTL, "--root", store.root];
  const { stdout, stderr } = spawnSync("unshare", args, { encoding: "utf8" });
  assert.match(stderr, /\/proc is not mounted; mount it first .*\(ERR_NO_PROC\)/);
  assert.match(stdout, /^6\n[\s\S]*no +\/proc +it is not mounted; mount it/);
});
