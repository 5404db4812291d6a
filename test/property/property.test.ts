/** A bounded share of the property tests: enough that every deliberate bug of `mutations.ts` is found in it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Need, requires } from "../helpers/requires.ts";
import { SHARE } from "./share.ts";

const RUN = fileURLToPath(new URL("run.ts", import.meta.url));

function property(...words: readonly string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUN, ...words], { encoding: "utf8" });
  return { status, output: stdout + stderr };
}

function needsOf(subject: string): readonly Need[] {
  if (subject.startsWith("fuse-user")) return ["fuse", "user-namespace"];
  return subject === "fuse-native" ? ["root", "fuse", "fuse-native"] : ["root", "fuse"];
}

suite("property", { concurrency: 2 }, () => {
  for (const [subject, runs] of SHARE) {
    const skip = requires(...needsOf(subject));
    const does = subject.endsWith("--crash") ? "loses nothing but the call on its way" : "behaves as a plain directory";
    test(`${subject} ${does} in ${runs} random cases`, { skip }, () => {
      const { status, output } = property("--subject", ...subject.split(" "), "--runs", String(runs));
      assert.equal(status, 0, output);
      assert.match(output, /nothing was found in \d+ cases\n$/);
    });
  }
});
