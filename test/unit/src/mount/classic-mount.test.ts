import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { escapePath, unescapePath } from "../../../../src/mount/classic-mount.ts";

test("a path in an option string is escaped where the kernel would split it, and read back", () => {
  assert.equal(escapePath("/a:b,c\\d e"), "/a\\:b\\,c\\\\d e");
  const path = fc.array(fc.constantFrom("/", ":", ",", "\\", "a", "\n", "\xff")).map((parts) => parts.join(""));
  fc.assert(
    fc.property(path, (each) => {
      assert.equal(unescapePath(escapePath(each)), each);
      assert.doesNotMatch(escapePath(each), /(?<!\\)(?:\\\\)*[:,]/);
    }),
  );
});
