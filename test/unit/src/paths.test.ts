import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesFromText, display } from "../../../src/paths.ts";

test("what a name holds for a terminal is shown as its bytes", () => {
  assert.equal(display(bytesFromText("a\x1b[31m\n")), String.raw`a\x1b[31m\x0a`);
  assert.equal(display(bytesFromText("größe\u009b31m")), String.raw`größe\xc2\x9b31m`); // the one-character CSI
  assert.equal(display("a\xff\x9b"), String.raw`a\xff\x9b`);
  assert.equal(display(bytesFromText("back\\slash")), String.raw`back\\slash`);
});

test("a name that begins with a byte order mark keeps it", () => {
  assert.equal(display(bytesFromText("\ufeffname")), "\ufeffname");
});
