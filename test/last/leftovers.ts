/** Run after every other test, in a run of its own: nothing of theirs may be left on the machine. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { leftovers } from "../helpers/leftovers.ts";

test("the tests leave no mount, loop device, cgroup or temporary directory behind", () => {
  assert.deepEqual(leftovers(), []);
});
