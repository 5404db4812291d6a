/** What is typed at a container's terminal goes there byte for byte, but for the detach keys. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DetachFilter, parseDetachKeys } from "../../../cli/detach-keys.ts";

test("keys are spelled as docker spells them", () => {
  assert.deepEqual([...parseDetachKeys("ctrl-p,ctrl-q")], [16, 17]);
  assert.deepEqual([...parseDetachKeys("a,ctrl-],ctrl-@,ctrl-_")], [97, 29, 0, 31]);
  assert.deepEqual([...parseDetachKeys("")], []);
  for (const text of ["ctrl-", "ctrl-1", "ab", "a,", "ü"]) {
    assert.throws(() => parseDetachKeys(text), { code: "ERR_DETACH_KEYS" }, text);
  }
});

/** All that comes through, and whether the keys came, for bytes typed in some pieces. */
function typed(keys: string, pieces: readonly string[]): readonly [string, boolean] {
  const filter = new DetachFilter(Buffer.from(keys, "latin1"));
  let through = "";
  for (const piece of pieces) {
    const { bytes, isDetached } = filter.take(Buffer.from(piece, "latin1"));
    through += bytes.toString("latin1");
    if (isDetached) return [through, true];
  }
  return [through, false];
}

test("the keys are found in whatever pieces they come, and their beginning alone is passed on", () => {
  assert.deepEqual(typed("pq", ["xp", "q", "y"]), ["x", true]);
  assert.deepEqual(typed("pq", ["p", "x"]), ["px", false]);
  assert.deepEqual(typed("pq", ["pp", "q"]), ["p", true]);
  assert.deepEqual(typed("", ["anything"]), ["anything", false]);
});

test("what is typed before the keys is what comes through", () => {
  const text = fc.array(fc.constantFrom("a", "p", "x"), { maxLength: 20 }).map((letters) => letters.join(""));
  fc.assert(
    fc.property(text, text, (before, after) => {
      const whole = `${before}pq${after}`;
      assert.deepEqual(typed("pq", [...whole]), [before, true]);
    }),
  );
});
