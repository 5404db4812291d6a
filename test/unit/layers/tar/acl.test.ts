import assert from "node:assert/strict";
import { test } from "node:test";
import { aclFromText, aclToText } from "../../../../layers/tar/acl.ts";
import { IntegrityError } from "../../../../src/errors.ts";

const where = { name: "file", offset: 0 };
const parse = (text: string) => aclFromText(text, where).toString("hex");
/** As setfacl -m u:1234:rw,g:1:r wrote it on ext4. */
const BINARY =
  "02000000" +
  "01000600ffffffff" +
  "02000600d2040000" +
  "04000400ffffffff" +
  "0800040001000000" +
  "10000600ffffffff" +
  "20000400ffffffff";

test("the text of an ACL becomes what the kernel keeps, in its order", () => {
  assert.equal(parse("user::rw-,user:1234:rw-,group::r--,group:1:r--,mask::rw-,other::r--"), BINARY);
  assert.equal(parse("user::rw-,group::r--,other::r--,user:1234:rw-,group:daemon:r--:1,mask::rw-"), BINARY, "bsdtar");
  assert.equal(
    parse("user::rw-\nuser:1234:rw-\t#effective:rw-\ngroup::r--\ngroup:1:r--\nmask::rw-\nother::r--\n"),
    BINARY,
  );
  assert.equal(parse("u::rw,u:1234:rw,g::r,g:1:r,m:rw,o:r"), BINARY, "abbreviated");
});

test("the binary form becomes text with numeric ids", () => {
  const text = "user::rw-,user:1234:rw-,group::r--,group:1:r--,mask::rw-,other::r--";
  assert.equal(aclToText(Buffer.from(BINARY, "hex")), text);
});

test("a name without an id is refused, as are lists the kernel would not take", () => {
  for (const [text, message] of [
    [
      "user::rw-,user:daemon:r--,group::r--,mask::r--,other::r--",
      /names "daemon" and gives no numeric id; "tar --numeric-owner" writes ids/,
    ],
    ["user::rw-,user:daemon:r--:x,group::r--,mask::r--,other::r--", /names "x" and gives no numeric id/],
    ["user::rw-,user:4294967295:r--,group::r--,mask::r--,other::r--", /gives no numeric id/],
    ["user::rw-,group::r--", /lacks the entry/],
    ["", /lacks the entry/],
    ["user::rw-,user::rw-,group::r--,other::r--", /an entry twice/],
    ["user::rw-,user:1:r--,group::r--,other::r--", /no mask/],
    ["user::rwz,group::r--,other::r--", /malformed entry "user::rwz"/],
    ["mask:5:rw-,user::rw-,group::r--,other::r--", /malformed entry "mask:5:rw-"/],
    ["toString::rw-", /malformed entry/],
  ] as const) {
    assert.throws(
      () => parse(text),
      (error) => error instanceof IntegrityError && error.code === "ERR_TAR_ACL" && message.test(error.message),
      text,
    );
  }
});

test("bytes that are no ACL have no text", () => {
  for (const hex of [
    "",
    "02000000",
    "03000000",
    BINARY.slice(0, -2),
    BINARY.replace("10000600", "10000700".replace("07", "0f")),
  ]) {
    assert.equal(aclToText(Buffer.from(hex, "hex")), null, hex);
  }
});
