import assert from "node:assert/strict";
import { test } from "node:test";
import type { Extent } from "../../../../layers/tar/entry.ts";
import { DEFAULT_TAR_LIMITS } from "../../../../layers/tar/limits.ts";
import {
  archive,
  assertRefused,
  entryOf,
  header,
  octal,
  padded,
  pax,
  readOne,
  readTar,
  writeTar,
} from "./tar-builder.ts";

const MAP: readonly Extent[] = [
  { offset: 512, lengthBytes: 3 },
  { offset: 1000, lengthBytes: 2 },
];
const DATA = Buffer.from("abcde");
const REAL_SIZE = 5000;

/** A GNU sparse header with up to four extents in it. */
function oldGnu(
  extents: readonly Extent[],
  options: { more?: boolean; realSize?: number; size?: number } = {},
): Buffer {
  return header({
    magic: "ustar  \0",
    type: "S",
    size: octal(options.size ?? DATA.length),
    extra: { 386: fields(extents), 482: options.more ? "\x01" : "\0", 483: octal(options.realSize ?? REAL_SIZE) },
  });
}

function fields(extents: readonly Extent[]): string {
  return extents.map((extent) => octal(extent.offset) + octal(extent.lengthBytes)).join("");
}

/** A block that continues such a header with up to 21 more. */
function moreExtents(extents: readonly Extent[], more = false): Buffer {
  const block = Buffer.alloc(512);
  block.write(fields(extents), "latin1");
  block[504] = more ? 1 : 0;
  return block;
}

const V1 = [
  ["GNU.sparse.major", "1"],
  ["GNU.sparse.minor", "0"],
  ["GNU.sparse.name", "real"],
  ["GNU.sparse.realsize", String(REAL_SIZE)],
] as const;

/** A PAX 1.0 member with this text as its map. */
function version1(map: string, data: Buffer = DATA, records: readonly (readonly [string, string])[] = V1): Buffer {
  const body = Buffer.concat([padded(map), data]);
  return archive(pax(records), header({ size: octal(body.length) }), padded(body));
}

function assertSparse(bytes: Buffer, path = "file", extents = MAP): void {
  for (const chunkBytes of [bytes.length, 512, 13, 1]) {
    const [member] = readTar(bytes, chunkBytes);
    assert.ok(member !== undefined);
    const { entry, data, runs } = member;
    assert.deepEqual([entry.path, entry.type, entry.sizeBytes], [path, "file", REAL_SIZE]);
    assert.deepEqual(entry.extents, extents);
    assert.deepEqual(runs, extents);
    assert.deepEqual(data, DATA);
  }
}

test("the old GNU format is read, with the blocks that continue its map", () => {
  assertSparse(archive(oldGnu([...MAP, { offset: REAL_SIZE, lengthBytes: 0 }]), padded(DATA)));
  const many = Array.from({ length: 5 }, (_, index) => ({ offset: 10 * index, lengthBytes: 1 }));
  const parts = [
    oldGnu(many.slice(0, 1), { more: true }),
    moreExtents(many.slice(1, 3), true),
    moreExtents(many.slice(3)),
  ];
  assertSparse(archive(...parts, padded(DATA)), "file", many);
  assert.deepEqual(readOne(archive(oldGnu([], { size: 0 }))).entry.extents, []);
});

test("the PAX formats 0.0, 0.1 and 1.0 are read", () => {
  const size = ["GNU.sparse.size", String(REAL_SIZE)] as const;
  const body = [header({ size: octal(DATA.length) }), padded(DATA)];
  const turns = MAP.flatMap((extent) => [
    ["GNU.sparse.offset", String(extent.offset)] as const,
    ["GNU.sparse.numbytes", String(extent.lengthBytes)] as const,
  ]);
  assertSparse(archive(pax([size, ["GNU.sparse.numblocks", "2"], ...turns]), ...body));
  const map = [
    ["GNU.sparse.name", "real"],
    ["GNU.sparse.map", "512,3,1000,2"],
  ] as const;
  assertSparse(archive(pax([size, ...map]), ...body), "real");
  assertSparse(version1("2\n512\n3\n1000\n2\n"), "real");
  assertSparse(version1(`3\n512\n3\n1000\n2\n${REAL_SIZE}\n0\n`), "real");
});

test("a map that takes one block or several ends where the data begins", () => {
  for (const count of [60, 123, 124, 125, 400]) {
    const extents = Array.from({ length: count }, (_, index) => ({ offset: 2 * index, lengthBytes: 1 }));
    const entry = entryOf({ sizeBytes: 2 * count, extents });
    const bytes = writeTar([{ entry, data: Buffer.alloc(count, "d") }, { entry: entryOf({ path: "next" }) }]);
    for (const chunkBytes of [bytes.length, 7]) {
      assert.deepEqual(
        readTar(bytes, chunkBytes).map((member) => [member.entry.path, member.data.length]),
        [
          ["file", count],
          ["next", 0],
        ],
      );
    }
  }
});

test("a map that fills its block to the last byte has no padding", () => {
  const map = `125\n${"0\n0\n".repeat(120)}${"10\n0\n".repeat(3)}512\n3\n1000\n2\n`;
  assert.equal(map.length, 512);
  assertSparse(version1(map), "real");
});

test("a map that lies is refused, in every format", () => {
  const extents = (...pairs: readonly (readonly [number, number])[]) =>
    pairs.map(([offset, lengthBytes]) => ({ offset, lengthBytes }));
  for (const [map, message] of [
    [extents([512, 3], [514, 2]), /overlap/],
    [extents([1000, 2], [512, 3]), /overlap/],
    [extents([512, 3], [REAL_SIZE - 1, 2]), /goes beyond its size of 5000 bytes/],
    [extents([512, 5], [REAL_SIZE + 1, 0]), /goes beyond/],
    [extents([512, 3]), /needs 3 bytes and the archive holds 5/],
    [extents([512, 6]), /needs 6 bytes and the archive holds 5/],
    [extents([2 ** 33 - 1, 5]), /goes beyond/],
  ] as const) {
    assertRefused(archive(oldGnu(map), padded(DATA)), "ERR_TAR_SPARSE", message);
    const text = map.map(({ offset, lengthBytes }) => `${offset}\n${lengthBytes}\n`).join("");
    assertRefused(version1(`${map.length}\n${text}`), "ERR_TAR_SPARSE", message);
  }
});

test("a malformed 1.0 map is refused", () => {
  for (const [map, message] of [
    ["x\n", /not a number/],
    ["2\n\n", /a number is missing/],
    ["-1\n", /not a number/],
    ["00\n", /not a number/],
    ["1\n9007199254740992\n1\n", /not a number/],
    ["1\n9007199254740991\n1\n", /too large/],
    [`${"9".repeat(30)}\n`, /not a number/],
    ["5\n1\n1\n", /not a number/], // the zeros that pad the block
  ] as const) {
    assertRefused(version1(map), "ERR_TAR_SPARSE", message);
  }
  const longer = archive(pax(V1), header({ size: octal(512) }), Buffer.from(`999\n${"1\n0\n".repeat(300)}`));
  assertRefused(longer, "ERR_TAR_SPARSE", /longer than its archived size/);
  assertRefused(archive(pax(V1), header({ size: octal(0) })), "ERR_TAR_SPARSE", /longer than its archived size/);
});

test("incomplete, contradictory and unknown sparse records are refused", () => {
  const file = [header({ size: octal(DATA.length) }), padded(DATA)];
  const size = ["GNU.sparse.size", String(REAL_SIZE)] as const;
  for (const [records, message] of [
    [[["GNU.sparse.name", "x"]], /comes without the file's size/],
    [[size], /unknown format/],
    [[size, ["GNU.sparse.major", "1"], ["GNU.sparse.minor", "1"]], /unknown format/],
    [[size, ["GNU.sparse.major", "1"]], /unknown format/],
    [[size, ["GNU.sparse.map", "512,3,1000"]], /not have as many extents/],
    [[size, ["GNU.sparse.map", "512,5"], ["GNU.sparse.numblocks", "2"]], /not have as many extents/],
    [[size, ["GNU.sparse.offset", "1"], ["GNU.sparse.offset", "2"]], /out of turn/],
    [[["SCHILY.realsize", "77"]], /unknown format/],
  ] as const) {
    assertRefused(archive(pax(records), ...file), "ERR_TAR_SPARSE", message);
  }
  assertRefused(archive(pax(V1), header({ type: "5" })), "ERR_TAR_SPARSE", /where none can be/);
  assertRefused(archive(pax(V1), oldGnu(MAP), padded(DATA)), "ERR_TAR_SPARSE", /where none can be/);
  assertRefused(archive(pax([size, ["GNU.sparse.map", "a,b"]]), ...file), "ERR_TAR_NUMBER", /GNU.sparse.map/);
  const same = archive(pax([["SCHILY.realsize", "5"]]), ...file);
  assert.equal(readOne(same).entry.extents, null);
});

test("the number of extents is bounded, empty ones included", () => {
  const limits = { ...DEFAULT_TAR_LIMITS, sparseExtents: 3 };
  const empty = "1\n0\n".repeat(4);
  assertRefused(version1(`4\n${empty}`), "ERR_TAR_LIMIT", /more than 3 extents/, limits);
  const size = ["GNU.sparse.size", "9"] as const;
  const map = archive(pax([size, ["GNU.sparse.map", "1,0,1,0,1,0,1,0,1,0"]]), header());
  assertRefused(map, "ERR_TAR_LIMIT", /more than 3 extents/, limits);
});
