/** What the writer writes, the reader reads; and no bytes make it do worse than refuse. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { EntryType, Extent, TarEntry } from "../../../../layers/tar/entry.ts";
import { IntegrityError } from "../../../../src/errors.ts";
import { archive, entryOf, header, octal, padded, pax, readTar, writeTar } from "./tar-builder.ts";

const byteStrings = (minLength: number, maxLength: number) =>
  fc
    .oneof(
      { weight: 2, arbitrary: fc.string({ unit: fc.constantFrom(..."ab./ =%"), minLength, maxLength }) },
      fc.uint8Array({ min: 1, minLength, maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1")),
    )
    .filter((text) => text.length >= minLength);
/** Short ones, and those near and beyond the sizes of the fields. */
const paths = fc
  .oneof(byteStrings(1, 20), byteStrings(90, 110), byteStrings(150, 300))
  .filter((path) => !path.endsWith("/"));
const types = fc.constantFrom<EntryType>("file", "hardlink", "symlink", "character", "block", "directory", "fifo");
const ids = fc.oneof(fc.nat(0o7777777), fc.integer({ min: 2 ** 21 - 2, max: 2 ** 32 - 2 }));
const times = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 34n }).map((seconds) => seconds * 1_000_000_000n),
  fc.bigInt({ min: -(2n ** 62n), max: 2n ** 90n }),
);
const xattrs = fc
  .array(fc.tuple(byteStrings(1, 30), fc.uint8Array({ maxLength: 300 })), { maxLength: 4 })
  .map((pairs) => new Map(pairs));
const content = fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes));
/** Gaps and lengths by turns. */
const maps = fc.option(fc.array(fc.tuple(fc.nat(5000), fc.integer({ min: 1, max: 1200 })), { maxLength: 140 }));

const members = fc
  .record({ path: paths, type: types, link: paths, mode: fc.nat(0o7777), uid: ids, gid: ids, mtimeNs: times, xattrs })
  .chain((fields) => fc.tuple(fc.constant(fields), content, maps, fc.nat(2 ** 33), fc.nat(0xfff), fc.nat(0xfffff)))
  .map(([{ link, ...fields }, data, map, hole, major, minor]) => {
    const isLink = fields.type === "symlink" || fields.type === "hardlink";
    const isDevice = fields.type === "character" || fields.type === "block";
    const path = fields.type === "directory" ? `${fields.path}/` : fields.path;
    const device = isDevice ? { deviceMajor: major, deviceMinor: minor } : {};
    const common = entryOf({ ...fields, ...device, path, linkTarget: isLink ? link : "" });
    if (fields.type !== "file") return { entry: common, data: Buffer.alloc(0) };
    if (map === null) return { entry: { ...common, sizeBytes: data.length }, data };
    return sparse(common, map, hole);
  });

function sparse(common: TarEntry, map: readonly (readonly [number, number])[], hole: number) {
  const extents: Extent[] = [];
  let end = 0;
  for (const [gap, lengthBytes] of map) {
    extents.push({ offset: end + gap, lengthBytes });
    end += gap + lengthBytes;
  }
  const data = Buffer.alloc(
    extents.reduce((sum, extent) => sum + extent.lengthBytes, 0),
    "data",
  );
  return { entry: { ...common, sizeBytes: end + hole, extents }, data };
}

const plain = (entry: TarEntry) => ({
  ...entry,
  xattrs: [...entry.xattrs].map(([name, value]) => [name, Buffer.from(value).toString("hex")]).sort(),
});

test("every entry comes back as it was written, whatever the chunks", () => {
  fc.assert(
    fc.property(fc.array(members, { maxLength: 4 }), fc.integer({ min: 1, max: 2000 }), (written, chunkBytes) => {
      const bytes = writeTar(written);
      for (const size of [bytes.length, 512, chunkBytes, 1]) {
        const read = readTar(bytes, size);
        assert.deepEqual(
          read.map(({ entry }) => plain(entry)),
          written.map(({ entry }) => plain(entry)),
        );
        for (const [index, { data, entry, runs }] of read.entries()) {
          assert.deepEqual(data, written[index]?.data);
          assert.deepEqual(
            runs,
            joined(entry.extents ?? (data.length === 0 ? [] : [{ offset: 0, lengthBytes: data.length }])),
          );
        }
      }
    }),
    { numRuns: 150 },
  );
});

function joined(extents: readonly Extent[]): Extent[] {
  const result: Extent[] = [];
  for (const extent of extents) {
    const last = result.at(-1);
    if (last !== undefined && last.offset + last.lengthBytes === extent.offset) {
      result[result.length - 1] = { offset: last.offset, lengthBytes: last.lengthBytes + extent.lengthBytes };
    } else result.push(extent);
  }
  return result;
}

test("the same entry gives the same bytes, whatever the order of its xattrs", () => {
  fc.assert(
    fc.property(members, ({ entry, data }) => {
      const reversed = { ...entry, xattrs: new Map([...entry.xattrs].reverse()) };
      assert.deepEqual(writeTar([{ entry: reversed, data }]), writeTar([{ entry, data }]));
    }),
    { numRuns: 100 },
  );
});

/** One archive with all there is to break. */
function everything(): Buffer {
  const map = [{ offset: 512, lengthBytes: 512 }];
  const acl = Buffer.from("0200000001000600ffffffff04000400ffffffff20000400ffffffff", "hex");
  const ours = writeTar([
    { entry: entryOf({ path: "d", type: "directory", xattrs: new Map([["system.posix_acl_default", acl]]) }) },
    { entry: entryOf({ path: `d/${"n".repeat(200)}\xff`, sizeBytes: 700, mtimeNs: -1n }), data: Buffer.alloc(700, 1) },
    { entry: entryOf({ path: "s", sizeBytes: 5000, extents: map }), data: Buffer.alloc(512, 2) },
    { entry: entryOf({ path: "l", type: "symlink", linkTarget: "t".repeat(200), uid: 2 ** 31 }) },
  ]).subarray(0, -1024);
  const gnu = { magic: "ustar  \0", type: "S", size: octal(3) };
  return archive(
    ours,
    pax(
      [
        ["uid", "5"],
        ["gid", "6"],
      ],
      "g",
    ),
    header({ name: "././@LongLink", type: "L", size: octal(150) }),
    padded("q".repeat(150)),
    header({ ...gnu, extra: { 386: octal(9) + octal(3), 483: octal(99) } }),
    padded("abc"),
    pax([
      ["GNU.sparse.map", "1,2"],
      ["GNU.sparse.size", "9"],
      ["SCHILY.acl.access", "u::r,g::r,o::r"],
    ]),
    header({ size: octal(2) }),
    padded("xy"),
    header({ name: "dump/", type: "D", size: octal(3) }),
    padded("abc"),
  );
}

test("damaged archives are read or refused, never worse", () => {
  const whole = everything();
  assert.equal(readTar(whole).length, 7);
  const refusedCodes = new Set<string>();
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      damage,
      fc.boolean(),
      fc.nat(whole.length),
      fc.integer({ min: 1, max: 3000 }),
      (hits, repair, end, chunk) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of hits) {
          bytes[at] = value;
          if (repair) fixChecksum(bytes, at - (at % 512)); // lets the damage through to what comes after
        }
        const cut = end % 3 === 0 ? bytes.subarray(0, end) : bytes;
        try {
          for (const { entry, data } of readTar(cut, chunk)) assert.ok(data.length <= entry.sizeBytes);
        } catch (error) {
          if (!(error instanceof IntegrityError)) throw error;
          refusedCodes.add(error.code);
        }
      },
    ),
    { numRuns: 4000 },
  );
  assert.ok(refusedCodes.size >= 5, `too few ways to fail: ${[...refusedCodes]}`);
});

function fixChecksum(bytes: Buffer, at: number): void {
  const block = bytes.subarray(at, at + 512);
  if (block.toString("latin1", 257, 262) !== "ustar") return;
  block.fill(" ", 148, 156);
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
    "latin1",
  );
}

test("random PAX bodies are read or refused", () => {
  const keys = fc.constantFrom(
    "path",
    "size",
    "mtime",
    "SCHILY.xattr.a",
    "LIBARCHIVE.xattr.%4",
    "GNU.sparse.map",
    "SCHILY.acl.access",
  );
  const records = fc.array(fc.tuple(keys, byteStrings(0, 40)), { maxLength: 5 });
  fc.assert(
    fc.property(records, (list) => {
      try {
        readTar(archive(pax(list), header(), pax(list), header({ type: "5" })), 300);
      } catch (error) {
        if (!(error instanceof IntegrityError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});
