import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MOST_PLAIN_BYTES, type PlainFile, writePlainFile } from "../../../../layers/tar/plain-file.ts";
import { encodeEntry } from "../../../../layers/tar/writer.ts";
import { entryOf } from "./tar-builder.ts";

const FILE: PlainFile = { path: "a/b", mode: 0o644, uid: 0, gid: 0, sizeBytes: 5, mtimeSeconds: 7, mtimeRest: 0 };

/** What is written behind a byte that must stay, into memory that was used before; null for nothing. */
function plain(file: PlainFile): Buffer | null {
  const bytes = Buffer.alloc(1 + MOST_PLAIN_BYTES, 0xee);
  const size = writePlainFile(bytes, 1, file);
  assert.equal(bytes[0], 0xee);
  assert.ok(bytes.subarray(1 + size).every((byte) => byte === 0xee));
  return size === 0 ? null : bytes.subarray(1, 1 + size);
}

/** As every entry is encoded. */
function encoded({ mtimeSeconds, mtimeRest, ...rest }: PlainFile): Buffer {
  return encodeEntry(entryOf({ ...rest, mtimeNs: BigInt(mtimeSeconds) * 1_000_000_000n + BigInt(mtimeRest) }));
}

const name = fc.string({ minLength: 1, maxLength: 110, unit: fc.constantFrom(..."ab -.~%=") });
const file: fc.Arbitrary<PlainFile> = fc.record({
  path: fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/")),
  mode: fc.nat(0o7777),
  uid: fc.oneof(fc.constant(0), fc.nat(0o7777777)),
  gid: fc.oneof(fc.constant(0), fc.nat(0o7777777)),
  sizeBytes: fc.maxSafeNat().map((size) => size % 0o100000000000),
  mtimeSeconds: fc.oneof(fc.nat(), fc.constantFrom(0, 0o77777777777)),
  mtimeRest: fc.oneof(fc.constant(0), fc.nat(999_999_999), fc.constantFrom(1, 500_000_000)),
});

test("a plain file has the headers that any entry of its kind has", () => {
  fc.assert(
    fc.property(file, (plainFile) => {
      const bytes = plain(plainFile);
      const expected = encoded(plainFile);
      if (bytes !== null) assert.deepEqual(bytes, expected);
      else assert.ok(expected.toString("latin1").includes(" path="), "only a name that needs a record is not plain");
    }),
    { numRuns: 500 },
  );
});

test("what ustar cannot hold is left to the general way", () => {
  for (const change of [
    { path: "n".repeat(101) },
    { path: "\xc3\xa9" },
    { path: "a\nb" },
    { uid: 0o10000000 },
    { gid: 0o10000000 },
    { sizeBytes: 0o100000000000 },
    { mtimeSeconds: 0o100000000000 },
    { mtimeSeconds: -1 },
  ]) {
    assert.equal(plain({ ...FILE, ...change }), null, JSON.stringify(change));
  }
});
