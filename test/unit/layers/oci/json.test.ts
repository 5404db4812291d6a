import assert from "node:assert/strict";
import test from "node:test";
import { parseJson } from "../../../../layers/oci/json.ts";
import { IntegrityError } from "../../../../src/errors.ts";

const parse = (text: string | Buffer, limitBytes = 1 << 20) => parseJson(Buffer.from(text), "manifest", limitBytes);
const refused = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof IntegrityError && error.code === code && message.test(error.message);

test("a wrong type is named by its path", () => {
  const root = parse('{"layers":[{"size":1},{"size":2},{"size":"3"}]}');
  assert.throws(
    () =>
      root
        .field("layers")
        .items()
        .map((layer) => layer.field("size").size()),
    refused("ERR_JSON_TYPE", /manifest\.layers\[2\]\.size: expected an integer ≥ 0, found string$/),
  );
});

test("sizes that are negative, fractional or not exact are refused", () => {
  for (const text of ["-1", "1.5", "1e300", "9007199254740993", "null", "[]"]) {
    assert.throws(
      () => parse(`{"size":${text}}`).field("size").size(),
      refused("ERR_JSON_TYPE", /manifest\.size/),
      text,
    );
  }
  assert.equal(parse('{"size":9007199254740991}').field("size").size(), Number.MAX_SAFE_INTEGER);
});

test("a document over its limit is refused before it is parsed", () => {
  assert.throws(() => parse("not json at all", 8), refused("ERR_JSON_SIZE", /15 bytes long, the most is 8$/));
});

test("a document nested deeper than 64 levels is refused, one of 64 is not", () => {
  assert.doesNotThrow(() => parse("[".repeat(64) + "]".repeat(64)));
  assert.throws(() => parse("[".repeat(65) + "]".repeat(65)), refused("ERR_JSON_DEPTH", /64 levels/));
  assert.throws(() => parse('{"a":'.repeat(500_000), 1 << 26), refused("ERR_JSON_DEPTH", /64 levels/));
});

test("brackets inside strings do not count as nesting", () => {
  assert.equal(
    parse(`{"a":"${"[".repeat(100)}\\"${"{".repeat(100)}"}`)
      .field("a")
      .string().length,
    201,
  );
});

test("what is not JSON in UTF-8 is refused", () => {
  for (const bytes of ["", "{", '{"a":1}x', Buffer.from([0x22, 0xff, 0x22]), "\ufeff{}"]) {
    assert.throws(() => parse(bytes), refused("ERR_JSON_SYNTAX", /not JSON in UTF-8$/));
  }
});

test("fields of the object prototype are absent", () => {
  assert.ok(parse("{}").field("constructor").isAbsent);
  assert.ok(parse("{}").field("__proto__").isAbsent);
});

test("null is the same as absent, as Go writes it", () => {
  const root = parse('{"a":null}');
  assert.deepEqual(root.field("a").items(), []);
  assert.equal(root.field("a").optionalString(), undefined);
});
