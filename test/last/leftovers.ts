/** Run after every other test, in a run of its own: nothing of theirs may be left on the machine. */

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { LAYERCTL } from "../helpers/layerctl.ts";
import { leftovers } from "../helpers/leftovers.ts";

/** `npm test` builds first. */
const begun = statSync(join(dirname(LAYERCTL), "../dist/cli.cjs")).mtimeMs;

test("the tests leave no mount, loop device, cgroup or temporary directory behind", () => {
  assert.deepEqual(leftovers(begun), []);
});
