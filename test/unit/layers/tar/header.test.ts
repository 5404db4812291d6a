import assert from "node:assert/strict";
import { test } from "node:test";
import { archive, assertRefused, header, octal, padded, readOne, readTar } from "./tar-builder.ts";

test("a plain ustar header gives all its fields", () => {
  const { entry, data } = readOne(
    archive(
      header({
        name: "b",
        prefix: "a",
        mode: "0104755\0",
        uid: "0001750\0",
        gid: "0000144 ",
        size: octal(5),
        mtime: octal(7),
      }),
      padded("hello"),
    ),
  );
  assert.deepEqual(entry, {
    path: "a/b",
    type: "file",
    linkTarget: "",
    mode: 0o4755,
    uid: 1000,
    gid: 100,
    mtimeNs: 7_000_000_000n,
    sizeBytes: 5,
    extents: null,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
  });
  assert.equal(data.toString(), "hello");
});

test("names that fill their fields have no NUL", () => {
  const { entry } = readOne(
    archive(header({ name: "n".repeat(100), prefix: "p".repeat(155), type: "2", link: "l".repeat(100) })),
  );
  assert.equal(entry.path, `${"p".repeat(155)}/${"n".repeat(100)}`);
  assert.equal(entry.linkTarget, "l".repeat(100));
});

test("names are bytes", () => {
  assert.equal(readOne(archive(header({ name: "\xff\xfe/\xe9" }))).entry.path, "\xff\xfe/\xe9");
});

test("v7 has no prefix, GNU has times in its place, star ends it early", () => {
  const junk = { 345: "prefix" };
  assert.equal(readOne(archive(header({ magic: "", extra: junk }))).entry.path, "file");
  const gnu = { magic: "ustar  \0", extra: { 345: "00000000001\0", 357: "00000000002\0" } };
  assert.equal(readOne(archive(header(gnu))).entry.path, "file");
  const star = { prefix: "p".repeat(131), extra: { 476: "00000000001 00000000002 ", 508: "tar\0" } };
  assert.equal(readOne(archive(header(star))).entry.path, `${"p".repeat(131)}/file`);
});

test("a GNU header with a prefix, as Go before 1.8 wrote it, is read with it", () => {
  assert.equal(
    readOne(archive(header({ magic: "ustar  \0", prefix: "usr/share/doc" }))).entry.path,
    "usr/share/doc/file",
  );
});

test("a prefix in a GNU header ends at its NUL, and is none if it is not ASCII", () => {
  const gnu = { magic: "ustar  \0" };
  assert.equal(readOne(archive(header({ ...gnu, prefix: "usr\0\xff" }))).entry.path, "usr/file");
  assert.equal(readOne(archive(header({ ...gnu, prefix: "\xffusr" }))).entry.path, "file");
});

test("a number may have leading spaces, end at a space or fill its field, and be absent", () => {
  for (const [uid, expected] of [
    ["   1750\0", 1000],
    ["1750 \0\0\0", 1000],
    ["00001750", 1000],
    ["1750\0xyz", 1000],
    ["\0\0\0\0\0\0\0\0", 0],
    ["        ", 0],
  ] as const) {
    assert.equal(readOne(archive(header({ uid }))).entry.uid, expected, JSON.stringify(uid));
  }
});

test("what is not a number is refused", () => {
  for (const uid of ["12a4567\0", "0x00001\0", "-000001\0", "0000089\0", "\x001750\0\0"]) {
    assertRefused(archive(header({ name: "n", uid })), "ERR_TAR_NUMBER", /"n": its uid field is not a number/);
  }
});

test("base-256 numbers are read in both signs", () => {
  const big = `\x80\0\0\0${Buffer.from([0, 0, 0, 2, 0x80, 0, 0, 0]).toString("latin1")}`; // 10 GiB
  const members = archive(header({ size: big }));
  assert.throws(() => readTar(members), /the archive ends inside it/); // the size was believed
  assert.equal(readOne(archive(header({ mtime: "\xff".repeat(12) }))).entry.mtimeNs, -1_000_000_000n);
  assert.equal(readOne(archive(header({ uid: "\x80\0\0\0\xff\xff\xff\xfe" }))).entry.uid, 0xfffffffe);
  const far = `\x80\0\0\0\x7f${"\xff".repeat(7)}`; // the last second that the kernel's clock has
  assert.equal(readOne(archive(header({ mtime: far }))).entry.mtimeNs, (2n ** 63n - 1n) * 1_000_000_000n);
});

test("a size that is negative or too large is refused", () => {
  assertRefused(archive(header({ size: "\xff".repeat(12) })), "ERR_TAR_NUMBER", /its size is negative \(-1\)/);
  const huge = `\x80\0\0\0\x7f${"\xff".repeat(7)}`;
  assertRefused(archive(header({ size: huge })), "ERR_TAR_NUMBER", /its size is too large/);
  assertRefused(archive(header({ mtime: `\xbf${"\xff".repeat(11)}` })), "ERR_TAR_NUMBER", /time is out of range/);
});

test("an id that chown would take as unchanged, or a device Linux cannot have, is refused", () => {
  assertRefused(archive(header({ uid: "\x80\0\0\0\xff\xff\xff\xff" })), "ERR_TAR_NUMBER", /uid 4294967295 is beyond/);
  const device = { type: "3", major: "0010000\0", minor: "0000000\0" };
  assertRefused(archive(header(device)), "ERR_TAR_NUMBER", /device 4096:0 does not exist/);
});

test("device numbers are read of devices only", () => {
  const { entry } = readOne(archive(header({ type: "4", major: "0000010\0", minor: "0000021\0" })));
  assert.deepEqual([entry.type, entry.deviceMajor, entry.deviceMinor], ["block", 8, 17]);
  const file = readOne(archive(header({ major: "garbage!", minor: "0000021\0" }))).entry;
  assert.deepEqual([file.deviceMajor, file.deviceMinor], [0, 0]);
});

test("checksums of unsigned and of signed bytes are accepted, others are refused with place and name", () => {
  assert.equal(readOne(archive(header({ name: "\xe9\xe9", signed: true }))).entry.path, "\xe9\xe9");
  assertRefused(
    archive(header({ name: "n", checksumError: 1 })),
    "ERR_TAR_CHECKSUM",
    /entry "n": its checksum is wrong/,
  );
  const second = archive(header(), header({ name: "\x01", checksumError: 1 }));
  assertRefused(second, "ERR_TAR_CHECKSUM", /header at byte 512: its checksum is wrong/);
});

test("types are told apart, and what cannot be kept is refused", () => {
  const types = [..."0\x007123456D"].map((type) => readOne(archive(header({ type, link: "t" }))).entry.type);
  const files = ["file", "file", "file"];
  assert.deepEqual(types, [...files, "hardlink", "symlink", "character", "block", "directory", "fifo", "directory"]);
  assertRefused(archive(header({ type: "M" })), "ERR_TAR_TYPE", /"file": it continues a file of another volume/);
  for (const type of "NXAZ\x01\xff") assertRefused(archive(header({ type })), "ERR_TAR_TYPE", /its type .* is unknown/);
  assertRefused(archive(header({ type: "S" })), "ERR_TAR_TYPE", /not that of a GNU sparse file/);
});

test("before the type of directories there was a slash", () => {
  assert.equal(readOne(archive(header({ name: "d/", type: "\0" }))).entry.type, "directory");
  assert.equal(readOne(archive(header({ name: "d/", magic: "" }))).entry.type, "directory");
  assert.equal(readOne(archive(header({ name: "d/" }))).entry.type, "file", "in ustar, docker reads a file");
  const content = archive(header({ name: "d/", type: "\0", size: octal(512) }), padded("x".repeat(512)));
  assertRefused(content, "ERR_TAR_TYPE", /"d\/": it is a directory by its name and has 512 bytes/);
});

test("no data follows what is not a file, whatever its size says", () => {
  for (const type of "123456") {
    const members = readTar(archive(header({ type, link: "t", size: octal(1024) }), header({ name: "next" })));
    assert.deepEqual(
      members.map(({ entry }) => [entry.path, entry.sizeBytes]),
      [
        ["file", 0],
        ["next", 0],
      ],
      type,
    );
  }
});

test("the names in a dumpdir and a volume label are skipped", () => {
  const dump = [header({ name: "d/", type: "D", size: octal(6) }), padded("Yfile\0")];
  const members = readTar(
    archive(header({ type: "V", name: "label", size: octal(1) }), padded("x"), ...dump, header()),
  );
  assert.deepEqual(
    members.map(({ entry }) => [entry.path, entry.type]),
    [
      ["d/", "directory"],
      ["file", "file"],
    ],
  );
});

test("an entry without a name and a link without a target are refused", () => {
  assertRefused(archive(header({ name: "" })), "ERR_TAR_NAME", /header at byte 0: it has no name/);
  for (const type of "12") assertRefused(archive(header({ type })), "ERR_TAR_NAME", /link without a target/);
});
