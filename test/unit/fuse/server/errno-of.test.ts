/** What the log is told of a request that failed. */

import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { Counters } from "../../../../fuse/server/counters.ts";
import { errnoOf } from "../../../../fuse/server/errno-of.ts";
import { PosixError } from "../../../../src/errors.ts";

test("trouble below is a warning once, what programs ask for in vain is none, and each has its errno", () => {
  const warned: string[] = [];
  const nothing = (): void => {};
  const log = { debug: nothing, info: nothing, warn: (event: string) => warned.push(event), error: nothing };
  const counters = new Counters();
  for (const name of ["ENOENT", "EDQUOT", "EDQUOT", "EEXIST"] as const) {
    const errno = constants.errno[name];
    assert.equal(errnoOf(new PosixError(errno, "open"), {}, { log, counters }), errno);
  }
  assert.deepEqual(warned, ["fuse.failed"]);
});
