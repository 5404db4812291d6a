/** What is found comes as a script, which shows the difference as long as it is there, and none afterwards. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { requires } from "../helpers/requires.ts";
import { temporaryDirectory } from "../helpers/temporary.ts";
import { MUTATIONS } from "./mutations/mutations.ts";
import { copyTree, mutate } from "./mutations/tree-copy.ts";

const BUG = "a directory in place of a whiteout is not opaque";

function run(command: string, ...args: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    timeout: 180_000,
    env: { ...process.env, PATH: `/usr/sbin:/usr/bin:/sbin:/bin:${process.env.PATH}` }, // shims of python3 are slow
  });
  return { status, output: stdout + stderr };
}

test("the script of a case that fails for a planted bug shows it, and shows nothing once the bug is gone", {
  skip: requires("root", "fuse", "program:python3", "program:setfattr"),
}, async () => {
  await using directory = temporaryDirectory();
  copyTree(directory.path);
  const bug = MUTATIONS.find((each) => each.bug === BUG);
  assert.ok(bug !== undefined);
  const script = join(directory.path, "failure.sh");
  {
    using _ = mutate(directory.path, bug);
    const words = ["--runs", "500", "--shrink", "10", "--script", script];
    const found = run(process.execPath, join(directory.path, "test/property/run.ts"), ...words);
    assert.equal(found.status, 1, found.output);
    assert.match(readFileSync(script, "utf8"), /^# Found in core with seed \d+\. Layers, base first:$/m);
    const shown = run("unshare", "-m", "bash", script);
    assert.equal(shown.status, 1, shown.output);
    assert.match(shown.output, /^[<>] /m);
  }
  const fixed = run("unshare", "-m", "bash", script);
  assert.equal(fixed.status, 0, fixed.output);
  assert.match(fixed.output, /no difference/);
});
