import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { valueAt, withKey, withLines, withoutMarks } from "../../../../layers/setup/toml-edit.ts";

const KEYS = ["storage", "options", "stores"];
const LINE = 'stores = ["/ours"]';

function edited(text: string): string {
  return withKey(text, "storage.options", "stores", LINE);
}

test("a key goes into its table, whose comments and order stay", () => {
  const text = '# head\n[storage]\ndriver = "overlay"\n\n[storage.options] # more\nsize = "1"\n\n[other]\nstores = 1\n';
  const after = edited(text);
  assert.deepEqual(valueAt(parse(after), KEYS), ["/ours"]);
  assert.equal(valueAt(parse(after), ["other", "stores"]), 1);
  assert.equal(withoutMarks(after), text);
});

test("a key that is there is replaced, also over several lines, and comes back", () => {
  const text = '[storage.options]\nstores = [\n  "/theirs", # one\n  "/more",\n]\nsize = "1"\n';
  const after = edited(text);
  assert.deepEqual(JSON.parse(JSON.stringify(parse(after))), {
    storage: { options: { stores: ["/ours"], size: "1" } },
  });
  assert.equal(withoutMarks(after), text);
});

test("a table that is missing is made at the end", () => {
  for (const text of ["", "[storage]\n", "[storage]", "a = 1\n\n"]) {
    assert.deepEqual(valueAt(parse(edited(text)), KEYS), ["/ours"], JSON.stringify(text));
    assert.equal(withoutMarks(edited(text)), text);
  }
});

test("whatever a file holds, taking back gives it again", () => {
  const line = fc.constantFrom(
    "[storage]",
    "[storage.options]",
    'stores = ["/a"]',
    "stores = [",
    "]",
    "# x",
    "",
    " k = 1",
  );
  const file = fc.array(line, { maxLength: 8 }).map((lines) => lines.join("\n"));
  fc.assert(
    fc.property(file, (text) => {
      assert.equal(withoutMarks(edited(text)), text);
      assert.equal(withoutMarks(withLines(text, ["[a]", "b = 1"])), text);
    }),
  );
});
