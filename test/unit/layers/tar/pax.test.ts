import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_TAR_LIMITS } from "../../../../layers/tar/limits.ts";
import { archive, assertRefused, header, octal, padded, pax, rawPax, readOne, readTar } from "./tar-builder.ts";

/** The entry of a file with these PAX records. */
function withRecords(...records: readonly (readonly [string, string])[]) {
  return readOne(archive(pax(records), header())).entry;
}

function xattrsOf(...records: readonly (readonly [string, string])[]): Record<string, string> {
  return Object.fromEntries(
    [...withRecords(...records).xattrs].map(([k, v]) => [k, Buffer.from(v).toString("latin1")]),
  );
}

test("records override the header", () => {
  const { entry, data } = readOne(
    archive(
      pax([
        ["path", "p\xff\n"],
        ["uid", "4000000000"],
        ["gid", "7"],
        ["size", "5"],
        ["mtime", "1.25"],
        ["uname", "root"],
        ["hdrcharset", "BINARY"],
        ["SCHILY.nlink", "x"],
      ]),
      header({ size: octal(0) }),
      padded("hello"),
    ),
  );
  assert.deepEqual(
    [entry.path, entry.uid, entry.gid, entry.sizeBytes, entry.mtimeNs, data.toString()],
    ["p\xff\n", 4_000_000_000, 7, 5, 1_250_000_000n, "hello"],
  );
  assert.equal(
    readOne(archive(pax([["linkpath", "\xe9"]]), header({ type: "2", link: "x" }))).entry.linkTarget,
    "\xe9",
  );
});

test("times are decimal, to the nanosecond, and the sign counts for the fraction", () => {
  for (const [text, expected] of [
    ["0", 0n],
    ["1350244992.023960108", 1350244992023960108n],
    ["1.1234567899", 1_123_456_789n],
    ["-1.5", -1_500_000_000n],
    ["-0.5", -500_000_000n],
    ["-0.000000001", -1n],
    ["3.", 3_000_000_000n],
  ] as const) {
    assert.equal(withRecords(["mtime", text]).mtimeNs, expected, text);
  }
  for (const text of ["x", "1e9", ".5", "--1", "1.5x", "+1", " 1", "9223372036854775808", "1".repeat(30)]) {
    assertRefused(archive(pax([["mtime", text]]), header()), "ERR_TAR_NUMBER", /time/);
  }
});

test("a later record wins, and an empty one takes the earlier away", () => {
  assert.equal(withRecords(["path", "a"], ["path", "b"]).path, "b");
  assert.equal(withRecords(["path", "a"], ["path", ""]).path, "file");
  assert.equal(withRecords(["mtime", "5"], ["mtime", ""]).mtimeNs, 0n);
});

test("global records hold until they are replaced or taken away, and a member's own go before them", () => {
  const global = (...records: readonly (readonly [string, string])[]) => pax(records, "g");
  const members = readTar(
    archive(
      global(["uid", "1"]),
      header({ name: "a" }),
      global(["gid", "2"]),
      pax([["uid", "9"]]),
      header({ name: "b" }),
      pax([["uid", ""]]),
      header({ name: "c", uid: "0000005\0" }),
      global(["uid", ""], ["mtime", "3"]),
      header({ name: "d" }),
    ),
  );
  assert.deepEqual(
    members.map(({ entry }) => `${entry.path} ${entry.uid} ${entry.gid} ${entry.mtimeNs / 1_000_000_000n}`),
    ["a 1 0 0", "b 9 2 0", "c 5 2 0", "d 0 2 3"],
  );
});

test("global records that can only be true of one member are refused", () => {
  for (const key of [
    "path",
    "linkpath",
    "size",
    "GNU.sparse.major",
    "SCHILY.xattr.user.a",
    "LIBARCHIVE.xattr.user.a",
  ]) {
    assertRefused(archive(pax([[key, "1"]], "g"), header()), "ERR_TAR_PAX", /a global record/);
  }
});

test("an xattr's value may be empty or hold any bytes, and its name an escaped =", () => {
  assert.deepEqual(
    xattrsOf(
      ["SCHILY.xattr.user.empty", ""],
      ["SCHILY.xattr.security.capability", "\x01\0\0\x02\n=\0\xff"],
      ["SCHILY.xattr.user.a%3Db%25c%20", "1"],
    ),
    { "user.empty": "", "security.capability": "\x01\0\0\x02\n=\0\xff", "user.a=b%c%20": "1" },
  );
});

test("xattrs of libarchive are decoded, and its second copy of them is not taken for another", () => {
  assert.deepEqual(
    xattrsOf(
      ["LIBARCHIVE.xattr.user.a%3Db", "AAoAPQo"],
      ["SCHILY.xattr.user.a%3Db", "\0\n\0=\n"],
      ["LIBARCHIVE.xattr.user.%FF", "eA=="],
      ["SCHILY.xattr.user.%FF", "x"],
    ),
    { "user.a=b": "\0\n\0=\n", "user.\xff": "x" },
  );
  for (const value of ["*", "A", "AAAA="]) {
    const record = pax([["LIBARCHIVE.xattr.user.x", value]]);
    if (value !== "AAAA=") assertRefused(archive(record, header()), "ERR_TAR_XATTR", /"user.x" is not base64/);
  }
});

test("xattrs that no file can have are refused", () => {
  const refused = (name: string, value: string, message: RegExp) =>
    assertRefused(archive(pax([[`SCHILY.xattr.${name}`, value]]), header()), "ERR_TAR_XATTR", message);
  refused("", "1", /name is empty/);
  refused(`user.${"x".repeat(251)}`, "1", /longer than 255/);
  refused("user.a\0b", "1", /contains NUL/);
  refused("user.big", "x".repeat(65_537), /"user.big" is larger than 65536/);
  const longest = `user.${"x".repeat(250)}`;
  assert.deepEqual(Object.keys(xattrsOf([`SCHILY.xattr.${longest}`, "y".repeat(65_536)])), [longest]);
});

test("ACLs and the SELinux context become xattrs, unless their raw form is there too", () => {
  const acl = "user::rw-,group::rw-,other::r--";
  const derived = xattrsOf(
    ["SCHILY.acl.access", acl],
    ["SCHILY.acl.default", acl],
    ["RHT.security.selinux", "u:r:t:s0"],
  );
  assert.deepEqual(Object.keys(derived), ["system.posix_acl_access", "system.posix_acl_default", "security.selinux"]);
  assert.equal(derived["system.posix_acl_access"]?.length, 4 + 3 * 8);
  assert.equal(derived["security.selinux"], "u:r:t:s0\0");
  assert.deepEqual(
    xattrsOf(
      ["SCHILY.acl.access", "user:unknown:rw-"],
      ["SCHILY.xattr.system.posix_acl_access", "raw"],
      ["RHT.security.selinux", "x"],
      ["SCHILY.xattr.security.selinux", "y"],
    ),
    { "system.posix_acl_access": "raw", "security.selinux": "y" },
  );
  assert.deepEqual(xattrsOf(["SCHILY.acl.access", "user::rw-,group::r--,other::r--"]), {}, "no more than mode 0644");
  const named = pax([["SCHILY.acl.access", "user::rw-,user:daemon:rw-,group::r--,mask::r--,other::r--"]]);
  assertRefused(archive(named, header({ name: "it" })), "ERR_TAR_ACL", /entry "it": its ACL names "daemon"/);
});

test("malformed headers are refused", () => {
  for (const body of [
    "x 1=2\n",
    "5 a=b\n",
    "99 a=b\n",
    "6 a=bc",
    "0 \n",
    "3 \n\n",
    "5 =b\n",
    "5 ab\n",
    "000000000007 a=b\n",
    "6 a=b\n7",
    " a=b\n",
    "1",
  ]) {
    assertRefused(archive(rawPax(body), header()), "ERR_TAR_PAX", /its PAX header has a record/);
  }
  assert.equal(readOne(archive(rawPax(""), header())).entry.path, "file");
});

test("malformed values are refused", () => {
  for (const [key, value] of [
    ["size", "-1"],
    ["size", "1e3"],
    ["size", "9007199254740992"],
    ["uid", "1.0"],
    ["gid", " 1"],
    ["SCHILY.realsize", "x"],
  ] as const) {
    assertRefused(archive(pax([[key, value]]), header()), "ERR_TAR_NUMBER", /is not a number in range/);
  }
  assertRefused(archive(pax([["uid", "4294967295"]]), header()), "ERR_TAR_NUMBER", /uid 4294967295 is beyond/);
  for (const key of ["path", "linkpath"]) {
    assertRefused(archive(pax([[key, "a\0b"]]), header({ type: "2" })), "ERR_TAR_NAME", /contains a NUL/);
  }
});

test("limits hold for paths, headers and xattrs", () => {
  const limits = { ...DEFAULT_TAR_LIMITS, pathBytes: 10, paxBytes: 300, xattrCount: 2, xattrBytes: 100 };
  const refused = (state: RegExp, ...records: readonly (readonly [string, string])[]) =>
    assertRefused(archive(pax(records), header()), "ERR_TAR_LIMIT", state, limits);
  refused(/its path is longer than 10 bytes/, ["path", "x".repeat(11)]);
  refused(/extension header of \d+ bytes, the most is 300/, ["comment", "x".repeat(300)]);
  refused(/its xattrs are larger than 100 bytes/, ["SCHILY.xattr.user.x", "x".repeat(100)]);
  const three = ["a", "b", "c"].map((name) => [`SCHILY.xattr.${name}`, ""] as const);
  refused(/more than 2 xattrs/, ...three);
  assert.equal(readTar(archive(pax([["path", "x".repeat(10)]]), header()), 7, limits).length, 1);
});
