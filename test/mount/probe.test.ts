import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { mountsBelow } from "../../src/mount/mount-info.ts";
import { probeHost } from "../../src/mount/probe.ts";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";

test("the probe tries everything and leaves nothing behind", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const report = probeHost(directory.host());
  assert.deepEqual(readdirSync(directory.path), []);
  assert.deepEqual(mountsBelow(directory.host()), []);
  const works = new Map(report.map((check) => [check.name, check.works]));
  assert.equal(works.size, report.length, "names are unique");
  for (const name of ["overlayfs", "overlay mount", "trusted xattrs", "whiteouts", "option redirect_dir=on"]) {
    assert.equal(works.get(name), true, name);
  }
  for (const { name, works, detail, advice } of report) {
    assert.ok(detail.length > 0, name);
    assert.equal(advice === undefined, works, name);
  }
});

test("without root the probe says what does not work, and what to do", { skip: requires("root") }, async () => {
  await using directory = temporaryDirectory();
  const { spawnSync } = await import("node:child_process");
  const { chownSync } = await import("node:fs");
  chownSync(directory.path, 65534, 65534);
  const module = new URL("../../src/mount/probe.ts", import.meta.url).href;
  const script = `process.stdout.write(JSON.stringify((await import(${JSON.stringify(module)})).probeHost(${JSON.stringify(directory.path)})))`;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    uid: 65534,
    gid: 65534,
    encoding: "utf8",
  });
  assert.notEqual(stdout, "", stderr);
  const report = JSON.parse(stdout) as ReturnType<typeof probeHost>;
  const mount = report.find((check) => check.name === "overlay mount");
  assert.equal(mount?.works, false);
  assert.match(mount?.advice ?? "", /run as root/);
  assert.deepEqual(readdirSync(directory.path), []);
});
