import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesFromText, display, PATH_MAX, parseLayerPath } from "../../../src/paths.ts";

test("what a name holds for a terminal is shown as its bytes", () => {
  assert.equal(display(bytesFromText("a\x1b[31m\n")), String.raw`a\x1b[31m\x0a`);
  assert.equal(display(bytesFromText("größe\u009b31m")), String.raw`größe\xc2\x9b31m`); // the one-character CSI
  assert.equal(display("a\xff\x9b"), String.raw`a\xff\x9b`);
  assert.equal(display(bytesFromText("back\\slash")), String.raw`back\\slash`);
});

test("a name that begins with a byte order mark keeps it", () => {
  assert.equal(display(bytesFromText("\ufeffname")), "\ufeffname");
});

test("a path of 4,095 bytes is taken, whatever is folded away, and that of a whiteout of it", () => {
  const path = `${"d/".repeat(2045)}names`;
  assert.equal(path.length, PATH_MAX);
  assert.equal(parseLayerPath(path), path);
  assert.equal(parseLayerPath(`./${path}/`), path);
  assert.equal(parseLayerPath(`${"d/".repeat(2045)}.wh.names`).length, PATH_MAX + 4);
  for (const longer of [`${path}s`, `${"d/".repeat(2045)}.wh.namess`, `${path}${"/".repeat(5000)}`]) {
    assert.throws(() => parseLayerPath(longer), { code: "ERR_PATH_UNSAFE" });
  }
});
