import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { AT_FDCWD, close, O_RDONLY, openAt } from "../../../../src/sys/file.ts";
import { getXattr, listXattrs, setXattr } from "../../../../src/sys/xattr.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

test("a value, and a list of names, longer than most are read whole, by path and by descriptor", async () => {
  await using temporary = temporaryDirectory();
  const directory = temporary.host("directory");
  mkdirSync(directory);
  const value = Buffer.alloc(1500, "v");
  const names = Array.from({ length: 6 }, (_, index) => `user.${String(index).padEnd(200, "n")}`);
  setXattr(directory, "user.long", value);
  for (const name of names) setXattr(directory, name, Buffer.from("x"));
  const fd = openAt(AT_FDCWD, directory, O_RDONLY);
  try {
    for (const target of [directory, fd]) {
      assert.deepEqual(getXattr(target, "user.long"), value);
      assert.deepEqual([...listXattrs(target)].sort(), [...names, "user.long"]);
    }
  } finally {
    close(fd);
  }
});
