import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSize, formatTime, jsonLine, logWord, pathFields, tableLines } from "../../../cli/output.ts";

test("sizes are powers of 1000 with one decimal, and never show 1000 of a unit", () => {
  assert.equal(formatSize(0), "0 B");
  assert.equal(formatSize(999), "999 B");
  assert.equal(formatSize(1000), "1.0 kB");
  assert.equal(formatSize(999_949), "999.9 kB");
  assert.equal(formatSize(999_950), "1.0 MB");
  assert.equal(formatSize(48_800_000), "48.8 MB");
  assert.equal(formatSize(Number.MAX_SAFE_INTEGER), "9.0 PB");
});

test("a table aligns its columns and ends no line with a space", () => {
  assert.deepEqual(
    tableLines(
      ["NAME", "SIZE", "NOTE"],
      [
        ["a", "1.0 kB", ""],
        ["größe", "10 B", "x"],
      ],
      ["left", "right"],
    ),
    ["NAME     SIZE  NOTE", "a      1.0 kB", "größe    10 B  x"],
  );
});

test("a table is aligned by the cells that its characters take on a terminal", () => {
  const rows = ["漢字", "한글", "ｗ", "e\u0301", "📦", "abcd"].map((name) => [name, "x"]);
  assert.deepEqual(tableLines(["NAME", "X"], rows), [
    "NAME  X",
    "漢字  x",
    "한글  x",
    "ｗ    x",
    "e\u0301     x",
    "📦    x",
    "abcd  x",
  ]);
});

test("a path that is UTF-8 is text alone, any other has its bytes too", () => {
  assert.deepEqual(pathFields("path", Buffer.from("größe").toString("latin1")), { path: "größe" });
  assert.deepEqual(pathFields("target", "a\xff"), { target: "a\ufffd", targetBytes: "Yf8=" });
});

test("a word of a log line cannot break the line or reach the terminal", () => {
  assert.equal(logWord("plain"), "plain");
  assert.equal(logWord("two words"), '"two words"');
  assert.equal(logWord("a\x1b[31mb\n"), String.raw`a\x1b[31mb\x0a`);
  assert.equal(logWord({ size: 5n }), String.raw`"{\"size\":\"5\"}"`);
});

test("times are UTC to the second", () => {
  assert.equal(formatTime(0), "1970-01-01 00:00:00");
});

test("a line of JSON holds a bigint as text", () => {
  assert.equal(jsonLine({ mtimeNs: 2n ** 63n }), '{"mtimeNs":"9223372036854775808"}\n');
});
