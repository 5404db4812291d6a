import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { freeze, thaw } from "../../../../src/exec/cgroup/freezer.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

test("a group goes on, and one that a runtime has taken away meanwhile needs nothing", async () => {
  await using directory = temporaryDirectory();
  for (const [version, file, value] of [
    [1, "freezer.state", "THAWED"],
    [2, "cgroup.freeze", "0"],
  ] as const) {
    const group = { name: "g", version, directories: [`${directory.path}/${version}`] };
    mkdirSync(`${directory.path}/${version}`);
    writeFileSync(`${directory.path}/${version}/${file}`, "");
    thaw(group);
    assert.equal(readFileSync(`${directory.path}/${version}/${file}`, "utf8"), value);
    rmSync(`${directory.path}/${version}`, { recursive: true });
    thaw(group);
    assert.throws(() => freeze(group), { code: "ERR_CGROUP_CONTROLLER" });
  }
});
