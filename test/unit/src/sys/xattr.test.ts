import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { bytesOf } from "../../../../src/paths.ts";
import { AT_FDCWD, close, O_RDONLY, openAt } from "../../../../src/sys/file.ts";
import { getXattr, hasXattrsAt, listXattrs, setXattr } from "../../../../src/sys/xattr.ts";
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

test("whether an entry of an open directory has attributes is told of itself, not of what it links to", async () => {
  await using temporary = temporaryDirectory();
  const directory = temporary.host("directory");
  mkdirSync(directory);
  const marked = temporary.host("directory", "marked \xff");
  const many = temporary.host("directory", "many");
  for (const path of [marked, many, temporary.host("directory", "bare")]) writeFileSync(bytesOf(path), "");
  symlinkSync(bytesOf("marked \xff"), temporary.host("directory", "link"));
  setXattr(marked, "user.a", Buffer.from("x"));
  for (let index = 0; index < 6; index++) setXattr(many, `user.${String(index).padEnd(200, "n")}`, Buffer.from("x"));
  const fd = openAt(AT_FDCWD, directory, O_RDONLY);
  try {
    const has = (name: string): boolean => hasXattrsAt(fd, name, directory);
    assert.deepEqual(["marked \xff", "many", "bare", "link"].map(has), [true, true, false, false]);
    assert.throws(() => has("missing"), { code: "ENOENT", path: temporary.host("directory", "missing") });
  } finally {
    close(fd);
  }
});
