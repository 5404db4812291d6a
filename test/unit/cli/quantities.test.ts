import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCount, parseSize } from "../../../cli/quantities.ts";

test("sizes take powers of 1000 and of 1024, in either case, with or without a B", () => {
  assert.equal(parseSize("4096"), 4096);
  assert.equal(parseSize("512k"), 512_000);
  assert.equal(parseSize("1.5GB"), 1_500_000_000);
  assert.equal(parseSize("2GiB"), 2 ** 31);
  assert.equal(parseSize("2 gi"), 2 ** 31);
  assert.equal(parseSize("0"), 0);
});

test("what is not a size is a usage error", () => {
  for (const text of ["", "k", "-1", "1x", "1e3", "0x10", "1 000", "99999999TiB", "i", "5ib5", "toString"]) {
    assert.throws(() => parseSize(text), { code: "ERR_SIZE_FORMAT", exitCode: 2 }, JSON.stringify(text));
  }
});

test("a count is a whole number of at least 1", () => {
  assert.equal(parseCount("10"), 10);
  for (const text of ["0", "-1", "1.5", "", "many"]) assert.throws(() => parseCount(text), { exitCode: 2 }, text);
});
