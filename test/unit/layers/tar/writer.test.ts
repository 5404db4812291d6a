import assert from "node:assert/strict";
import { test } from "node:test";
import type { TarEntry } from "../../../../layers/tar/entry.ts";
import { dataBytesOf, END_OF_ARCHIVE, encodeEntry, paddingFor } from "../../../../layers/tar/writer.ts";
import { archive, entryOf, header, octal, readOne } from "./tar-builder.ts";

/** The records of an encoded entry's PAX header; none if it has no such header. */
function recordsOf(entry: TarEntry): string[] {
  const bytes = encodeEntry(entry);
  if (bytes.toString("latin1", 156, 157) !== "x") return [];
  const size = Number.parseInt(bytes.toString("latin1", 124, 135), 8);
  return bytes.toString("latin1", 512, 512 + size).split(/(?<=\n)(?=\d)/);
}

const fieldsOf = (entry: TarEntry) => {
  const block = encodeEntry(entry).subarray(-512);
  const text = (start: number, end: number) => block.toString("latin1", start, end).replace(/\0.*$/s, "");
  return {
    name: text(0, 100),
    prefix: text(345, 500),
    link: text(157, 257),
    uid: text(108, 116),
    mtime: text(136, 148),
  };
};

test("a plain entry is one ustar header", () => {
  const entry = entryOf({ path: "a/b", mode: 0o4755, uid: 1000, gid: 100, mtimeNs: 7_000_000_000n, sizeBytes: 5 });
  const zero = "0000000\0";
  const fields = {
    name: "a/b",
    mode: "0004755\0",
    uid: "0001750\0",
    gid: "0000144\0",
    size: octal(5),
    mtime: octal(7),
  };
  assert.deepEqual(encodeEntry(entry), header({ ...fields, major: zero, minor: zero }));
});

test("a directory gets a slash, the root a dot as well", () => {
  for (const [path, expected] of [
    ["d", "d/"],
    ["d/", "d/"],
    ["", "./"],
  ] as const) {
    assert.equal(fieldsOf(entryOf({ path, type: "directory" })).name, expected);
  }
});

test("a long name is split where it can be, and recorded where it cannot", () => {
  const split = `${"p".repeat(155)}/${"n".repeat(100)}`;
  assert.deepEqual(recordsOf(entryOf({ path: split })), []);
  assert.equal(readOne(archive(encodeEntry(entryOf({ path: split })))).entry.path, split);
  assert.equal(fieldsOf(entryOf({ path: `a/b/${"n".repeat(99)}` })).prefix, "a/b", "the longest prefix");
  for (const path of ["n".repeat(101), `${"p".repeat(156)}/n`, `/${"n".repeat(100)}`, `p/${"n".repeat(101)}`]) {
    assert.deepEqual(recordsOf(entryOf({ path })), [`${path.length + 10} path=${path}\n`]);
  }
  const directory = `${"n".repeat(99)}/${"m".repeat(99)}`;
  assert.deepEqual(recordsOf(entryOf({ path: directory, type: "directory" })), []);
  const flat = `${"n".repeat(120)}/`; // the slash at its end does not split it
  assert.deepEqual(recordsOf(entryOf({ path: flat, type: "directory" })), [`131 path=${flat}\n`]);
});

test("names that are not printable ASCII are recorded, and marked if they are not UTF-8", () => {
  assert.deepEqual(recordsOf(entryOf({ path: "\xc3\xa9" })), ["11 path=\xc3\xa9\n"]);
  assert.deepEqual(recordsOf(entryOf({ path: "\xe9" })), ["21 hdrcharset=BINARY\n", "9 path=\xe9\n"]);
  assert.equal(fieldsOf(entryOf({ path: "d/\xe9a" })).name, "_a");
  const link = entryOf({ type: "symlink", linkTarget: "\xff" });
  assert.deepEqual(recordsOf(link), ["21 hdrcharset=BINARY\n", "14 linkpath=\xff\n"]);
});

test("numbers beyond their fields are recorded", () => {
  assert.deepEqual(recordsOf(entryOf({ uid: 0o7777777, gid: 0o7777777, sizeBytes: 0o77777777777 })), []);
  assert.deepEqual(recordsOf(entryOf({ uid: 2 ** 21, gid: 2 ** 32 - 2, sizeBytes: 2 ** 33 })), [
    "18 gid=4294967294\n",
    "19 size=8589934592\n",
    "15 uid=2097152\n",
  ]);
});

test("times are recorded if they are not whole seconds of an octal field", () => {
  for (const [mtimeNs, records, field] of [
    [1_000_000_000n, [], octal(1)],
    [1_500_000_000n, ["13 mtime=1.5\n"], octal(1)],
    [1n, ["21 mtime=0.000000001\n"], octal(0)],
    [-1n, ["22 mtime=-0.000000001\n"], octal(0)],
    [-2_000_000_000n, ["12 mtime=-2\n"], octal(0)],
    [-1_500_000_000n, ["14 mtime=-1.5\n"], octal(0)],
    [2n ** 33n * 1_000_000_000n, ["20 mtime=8589934592\n"], octal(0)],
  ] as const) {
    const entry = entryOf({ mtimeNs });
    assert.deepEqual(recordsOf(entry), records);
    assert.equal(`${fieldsOf(entry).mtime}\0`, field);
  }
});

test("xattrs are recorded raw and sorted, ACLs also as text", () => {
  const acl = Buffer.from("0200000001000600ffffffff04000400ffffffff20000400ffffffff", "hex");
  const xattrs = new Map([
    ["user.b", Buffer.from("\0\n=")],
    ["user.a=%", Buffer.alloc(0)],
    ["system.posix_acl_access", acl],
    ["system.posix_acl_default", Buffer.from("not an ACL")],
  ]);
  const records = recordsOf(entryOf({ xattrs }));
  assert.deepEqual(
    records.map((record) => record.replace(/^\d+ /, "")),
    [
      "SCHILY.acl.access=user::rw-,group::r--,other::r--\n",
      `SCHILY.xattr.system.posix_acl_access=${acl.toString("latin1")}\n`,
      "SCHILY.xattr.system.posix_acl_default=not an ACL\n",
      "SCHILY.xattr.user.a%3D%25=\n",
      "SCHILY.xattr.user.b=\0\n=\n",
    ],
  );
});

test("a record's length counts its own digits, also where they become more", () => {
  for (let length = 80; length < 1010; length++) {
    const path = "n".repeat(length);
    const [record] = recordsOf(entryOf({ path: `\x7f${path}` }));
    assert.equal(record?.length, Number.parseInt(record ?? "", 10));
  }
});

test("a sparse file is a PAX 1.0 member", () => {
  const extents = [{ offset: 4096, lengthBytes: 512 }];
  const entry = entryOf({ path: "d/sparse", sizeBytes: 10_000, extents });
  const bytes = encodeEntry(entry);
  assert.deepEqual(recordsOf(entry), [
    "22 GNU.sparse.major=1\n",
    "22 GNU.sparse.minor=0\n",
    "28 GNU.sparse.name=d/sparse\n",
    "29 GNU.sparse.realsize=10000\n",
  ]);
  assert.equal(bytes.toString("latin1", 1024, 1046), "GNUSparseFile.0/sparse");
  assert.equal(bytes.toString("latin1", 1536).replace(/\0+$/, ""), "2\n4096\n512\n10000\n0\n");
  assert.equal(dataBytesOf(entry), 512);
});

test("only files have data", () => {
  assert.equal(dataBytesOf(entryOf({ sizeBytes: 7 })), 7);
  assert.equal(dataBytesOf(entryOf({ sizeBytes: 7, type: "hardlink", linkTarget: "x" })), 0);
  assert.equal(dataBytesOf(entryOf({ sizeBytes: 7, extents: [] })), 0);
});

test("padding fills up the last block", () => {
  assert.deepEqual(
    [0, 1, 511, 512, 513].map((count) => paddingFor(count).length),
    [0, 511, 1, 0, 511],
  );
  assert.ok([...paddingFor(1), ...END_OF_ARCHIVE].every((byte) => byte === 0));
  assert.equal(END_OF_ARCHIVE.length, 1024);
});
