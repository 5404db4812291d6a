/** A bounded share of the property tests: enough that every deliberate bug of `mutations.ts` is found in it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { requires } from "../helpers/requires.ts";
import { SHARE } from "./share.ts";

const RUN = fileURLToPath(new URL("run.ts", import.meta.url));

function property(...words: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUN, ...words], { encoding: "utf8" });
  return { status, output: stdout + stderr };
}

suite("property", { concurrency: 2 }, () => {
  for (const [subject, runs] of SHARE) {
    const skip = subject.startsWith("fuse-user") ? requires("fuse", "user-namespace") : requires("root", "fuse");
    test(`${subject} behaves as a plain directory in ${runs} random cases`, { skip }, () => {
      const { status, output } = property("--subject", ...subject.split(" "), "--runs", String(runs));
      assert.equal(status, 0, output);
      assert.match(output, /nothing was found in \d+ cases\n$/);
    });
  }
});
