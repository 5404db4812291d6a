import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_TAR_LIMITS } from "../../../../layers/tar/limits.ts";
import { TarReader } from "../../../../layers/tar/reader.ts";
import { archive, assertRefused, header, octal, padded, pax, readOne, readTar } from "./tar-builder.ts";

const ZEROS = Buffer.alloc(512);
const FILE = Buffer.concat([header({ size: octal(700) }), padded("x".repeat(700))]);
const long = (type: "L" | "K", text: string) =>
  Buffer.concat([header({ name: "././@LongLink", type, size: octal(text.length) }), padded(text)]);

test("content is handed on as parts of the chunk, not copied", () => {
  const chunk = archive(FILE);
  let seen: Buffer | null = null;
  const reader = new TarReader({ entry() {}, data: (bytes) => (seen = bytes), end() {} });
  reader.push(chunk);
  assert.ok(seen !== null && (seen as Buffer).buffer === chunk.buffer);
});

test("an empty archive has no entries, with or without its end", () => {
  assert.deepEqual(readTar(Buffer.alloc(0), 1), []);
  assert.deepEqual(readTar(ZEROS), []);
  assert.deepEqual(readTar(archive()), []);
});

test("what follows the end is not looked at", () => {
  assert.equal(
    readTar(Buffer.concat([archive(FILE), header({ checksumError: 1 }), Buffer.from("garbage")]), 100).length,
    1,
  );
});

test("the end may be missing at a block boundary, and so may the last padding", () => {
  assert.equal(readTar(FILE).length, 1);
  assert.equal(readTar(Buffer.concat([FILE, ZEROS])).length, 1);
  assert.equal(readOne(FILE.subarray(0, 512 + 700)).data.length, 700);
});

test("an archive that ends inside a header, its content or an extension is refused", () => {
  for (const [bytes, message] of [
    [FILE.subarray(0, 511), /header at byte 0: the archive ends inside it, after 511 bytes/],
    [FILE.subarray(0, 512), /"file": the archive ends inside it, after 512/],
    [FILE.subarray(0, 512 + 699), /"file": the archive ends inside it/],
    [Buffer.concat([FILE, ZEROS, Buffer.alloc(100)]), /header at byte 2048: the archive ends inside it/],
    [Buffer.concat([FILE, header().subarray(0, 100)]), /header at byte 1536: the archive ends/],
    [long("L", "name".repeat(200)).subarray(0, 600), /LongLink": the archive ends inside it/],
  ] as const) {
    assertRefused(bytes, "ERR_TAR_TRUNCATED", message);
  }
});

test("an extension header that nothing follows is refused", () => {
  assertRefused(pax([["path", "lost"]]), "ERR_TAR_TRUNCATED", /"lost": the archive ends after its extension header/);
  assertRefused(archive(long("L", "lost\0")), "ERR_TAR_TRUNCATED", /"lost": the archive ends after its/);
  assert.deepEqual(readTar(archive(pax([["comment", "x"]], "g"))), []);
});

test("a single block of zeros between headers is refused", () => {
  assertRefused(archive(FILE, ZEROS, FILE), "ERR_TAR_FORMAT", /a single block of zeros is before it/);
});

test("GNU long names and links are read up to their NUL", () => {
  const name = `d/${"n".repeat(600)}`;
  const { entry } = readOne(
    archive(long("K", "t".repeat(300)), long("L", `${name}\0junk`), header({ type: "2", link: "x" })),
  );
  assert.deepEqual([entry.path, entry.linkTarget], [name, "t".repeat(300)]);
});

test("a second header of the same kind replaces the first, as in Go and GNU tar", () => {
  const twice = archive(
    pax([
      ["path", "a"],
      ["uid", "5"],
    ]),
    pax([["path", "b"]]),
    header(),
  );
  const { entry } = readOne(twice);
  assert.deepEqual([entry.path, entry.uid], ["b", 0]);
  assert.equal(readOne(archive(long("L", "a"), long("L", "b"), header())).entry.path, "b");
});

test("two different names for one entry are refused", () => {
  assertRefused(
    archive(long("L", "a\0"), pax([["path", "b"]]), header()),
    "ERR_TAR_NAME",
    /GNU long name and a different/,
  );
  const link = archive(long("K", "a\0"), pax([["linkpath", "b"]]), header({ type: "2", link: "a" }));
  assertRefused(link, "ERR_TAR_NAME", /GNU long link and a different/);
  assert.equal(readOne(archive(long("L", "a\0"), pax([["path", "a"]]), header())).entry.path, "a");
});

test("a global header between an entry and its own is refused", () => {
  const between = archive(pax([["path", "b"]]), pax([["uid", "5"]], "g"), header());
  assertRefused(between, "ERR_TAR_FORMAT", /it comes between an entry and its headers/);
});

test("extension headers are bounded in number and size", () => {
  const limits = { ...DEFAULT_TAR_LIMITS, extensionHeaders: 3, pathBytes: 50 };
  const globals = Array.from({ length: 4 }, () => pax([["comment", "x"]], "g"));
  assertRefused(archive(...globals), "ERR_TAR_LIMIT", /more than 3 extension headers/, limits);
  assert.equal(readTar(archive(...globals.slice(1), header(), ...globals.slice(1), header()), 99, limits).length, 2);
  assertRefused(archive(long("L", "x".repeat(52)), header()), "ERR_TAR_LIMIT", /of 52 bytes, the most is 51/, limits);
});

test("a claimed size reserves no memory", () => {
  const huge = { ...DEFAULT_TAR_LIMITS };
  const claim = header({ type: "x", size: octal(2 ** 32) });
  assertRefused(archive(claim), "ERR_TAR_LIMIT", /extension header of 4294967296 bytes/, huge);
});

test("what the handler throws leaves push", () => {
  const failure = new Error("no space");
  const reader = new TarReader({
    entry() {
      throw failure;
    },
    data() {},
    end() {},
  });
  assert.throws(() => reader.push(archive(FILE)), failure);
});

test("what a hostile name holds does not reach the terminal", () => {
  const name = `\x1b[2J${"x".repeat(400)}`;
  assertRefused(
    archive(pax([["path", name]]), header({ type: "M" })),
    "ERR_TAR_TYPE",
    /entry "\\x1b\[2Jx{296}\.\.\.": it/,
  );
});
