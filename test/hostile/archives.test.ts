/** Layer tars that are cut short, lie about their numbers, or carry headers made to exhaust their reader. */

import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  base256,
  directory,
  END,
  file,
  gnuLong,
  gnuSparse,
  header,
  padded,
  pax,
  paxRecord,
  paxSparse,
  symlink,
  tar,
} from "../helpers/tar-builder.ts";
import { contained, type Hostile, refused } from "./refusal.ts";

const LARGE = 2n ** 63n;
const whole = tar(directory("d/"), file("d/first", "x"), file("d/second", "y".repeat(5000)));
const sizeField = (bytes: Uint8Array): Buffer => header({ name: "evil", raw: [[124, bytes]] });
const paxOf = (bytes: string | Buffer): Buffer => tar(pax(Buffer.from(bytes)), file("evil", "x"));
const xattrs = (count: number, valueBytes: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, at) => paxRecord(`SCHILY.xattr.user.n${at}`, "v".repeat(valueBytes))),
  );

const REFUSED: readonly Hostile[] = [
  {
    name: "a tar cut short in a header is refused",
    source: () => [whole.subarray(0, 512 * 3 + 100)],
    says: /cut|trunc|end|short/i,
  },
  { name: "a tar cut short in a body is refused", source: () => [whole.subarray(0, 512 * 4 + 700)], says: /d\/second/ },
  {
    name: "a tar cut short in a pax header is refused",
    source: () => [pax({ path: "x".repeat(600) }).subarray(0, 1024)],
    says: /cut|trunc|end|short/i,
  },
  {
    name: "a tar that ends after a pax header is refused",
    source: () => [tar(file("a"), pax({ path: "evil" }))],
    says: /pax|extended|header|end/i,
  },
  {
    name: "a tar of nothing but garbage is refused",
    source: () => [Buffer.alloc(4096, "garbage ")],
    says: /header|checksum|tar/i,
  },
  {
    name: "a wrong checksum is refused",
    source: () => [tar(file("first", "x"), header({ name: "evil", checksum: 1 }))],
    says: /evil|checksum/,
  },
  {
    name: "a checksum that is not a number is refused",
    source: () => {
      const bytes = header({ name: "evil" });
      bytes.write("zzzzzz", 148);
      return [tar(bytes)];
    },
    says: /evil|checksum/,
  },
  {
    name: "a negative size is refused",
    source: () => [tar(sizeField(base256(-1, 12)))],
    says: /evil.*size|size.*evil/,
  },
  { name: "a size over 2^63 is refused", source: () => [tar(sizeField(base256(LARGE, 12)))], says: /evil|size/ },
  { name: "a size over 2^80 is refused", source: () => [tar(sizeField(base256(2n ** 80n, 12)))], says: /evil|size/ },
  {
    name: "a size of 8 EiB less one is refused",
    source: () => [tar(sizeField(base256(LARGE - 1n, 12)))],
    says: /evil|size|cut|limit/,
  },
  {
    name: "a size that is not octal is refused",
    source: () => [tar(sizeField(Buffer.from("99999999999\0")))],
    says: /evil|size/,
  },
  {
    name: "a mode that is not octal is refused",
    source: () => [tar(header({ name: "evil", raw: [[100, Buffer.from("rwxrwxr\0")]] }))],
    says: /evil|mode/,
  },
  {
    name: "an owner over 32 bits is refused",
    source: () => [tar(header({ name: "evil", uid: 2n ** 40n }))],
    says: /evil|uid/,
  },
  {
    name: "a negative pax size is refused",
    source: () => [tar(pax({ size: "-1" }), file("evil", "x"))],
    says: /evil|size/,
  },
  {
    name: "a pax size in floating point is refused",
    source: () => [tar(pax({ size: "1e3" }), file("evil", "x"))],
    says: /evil|size/,
  },
  {
    name: "a pax size of 40 digits is refused",
    source: () => [tar(pax({ size: "9".repeat(40) }), file("evil", "x"))],
    says: /evil|size/,
  },
  {
    name: "a pax time that is not a number is refused",
    source: () => [tar(pax({ mtime: "yesterday" }), file("evil", "x"))],
    says: /evil|mtime/,
  },
  {
    name: "a pax record longer than its header is refused",
    source: () => [paxOf("999 path=evil\n")],
    says: /pax|record|length/i,
  },
  {
    name: "a pax record shorter than it says is refused",
    source: () => [paxOf("5 path=evil\n")],
    says: /pax|record|length/i,
  },
  { name: "a pax record of length 0 is refused", source: () => [paxOf("0 path=evil\n")], says: /pax|record|length/i },
  {
    name: "a pax record of negative length is refused",
    source: () => [paxOf("-13 path=evil\n")],
    says: /pax|record|length/i,
  },
  { name: "a pax record without a newline is refused", source: () => [paxOf("13 path=evilx")], says: /pax|record/i },
  { name: 'a pax record without "=" is refused', source: () => [paxOf("11 noequal\n")], says: /pax|record|=/i },
  {
    name: "a pax header of 32 MiB is refused",
    source: () => [paxOf(paxRecord("comment", Buffer.alloc(32 << 20, "c")))],
    says: /pax|header|limit|most/i,
  },
  {
    name: "a pax header that claims 4 GiB is refused",
    source: () => [tar(header({ name: "evil", type: "x", size: 2 ** 32 }), file("a"))],
    says: /pax|header|evil|limit|most/i,
  },
  {
    name: "a GNU long name of 32 MiB is refused",
    source: () => [tar(gnuLong("L", "n".repeat(32 << 20)), file("evil"))],
    says: /long|name|limit|most/i,
  },
  {
    name: "a GNU long link that claims 4 GiB is refused",
    source: () => [tar(header({ name: "evil", type: "K", size: 2 ** 32 }), symlink("a", "b"))],
    says: /long|link|limit|most|evil/i,
  },
  { name: "a symlink to an empty target is refused", source: () => [tar(symlink("evil", ""))], says: /evil/ },
  {
    name: "a symlink target over 4095 bytes is refused",
    source: () => [tar(pax({ linkpath: "t".repeat(5000) }), symlink("evil", "x"))],
    says: /evil/,
  },
  {
    name: "an extended attribute over 64 KiB is refused",
    source: () => [tar(pax(xattrs(1, 70_000)), file("evil", "x"))],
    says: /evil|user\.n0/,
  },
  {
    name: "a bomb of extended attributes is refused",
    source: () => [tar(pax(xattrs(100_000, 200)), file("evil", "x"))],
    says: /evil|xattr|attribute|pax|header/i,
  },
  {
    name: "an extended attribute with an empty name is refused",
    source: () => [tar(pax({ "SCHILY.xattr.": "v" }), file("evil", "x"))],
    says: /evil|xattr|attribute/,
  },
  {
    name: "an extended attribute whose name is over 255 bytes is refused",
    source: () => [tar(pax({ [`SCHILY.xattr.user.${"n".repeat(300)}`]: "v" }), file("evil", "x"))],
    says: /xattr/,
  },
  {
    name: "an extended attribute in LIBARCHIVE form that is not base64 is refused",
    source: () => [tar(pax({ "LIBARCHIVE.xattr.user.n": "!!!" }), file("evil", "x"))],
    says: /xattr/,
  },
  {
    name: "an access control list that cannot be parsed is refused",
    source: () => [tar(pax({ "SCHILY.acl.access": "user::rwx,nonsense" }), file("evil", "x"))],
    says: /evil|acl/i,
  },
  {
    name: "a file capability that is cut short is refused",
    source: () => [tar(pax({ "SCHILY.xattr.security.capability": "\x01\x00" }), file("evil", "x"))],
    says: /evil|security\.capability/,
  },
  {
    name: "a sparse run beyond the file's size is refused",
    source: () => [tar(gnuSparse("evil", 100, [{ offset: 90, data: "x".repeat(50) }]))],
    says: /evil|sparse/,
  },
  {
    name: "sparse runs that overlap are refused",
    source: () => [
      tar(
        paxSparse("0.1", "evil", 1000, [
          { offset: 0, data: "x".repeat(50) },
          { offset: 20, data: "y".repeat(50) },
        ]),
      ),
    ],
    says: /evil|sparse/,
  },
  {
    name: "sparse runs out of order are refused",
    source: () => [
      tar(
        paxSparse("1.0", "evil", 1000, [
          { offset: 512, data: "x" },
          { offset: 0, data: "y" },
        ]),
      ),
    ],
    says: /evil|sparse/,
  },
  {
    name: "a sparse offset over 2^63 is refused",
    source: () => [
      tar(
        pax({
          "GNU.sparse.size": "10",
          "GNU.sparse.numblocks": "1",
          "GNU.sparse.name": "evil",
          "GNU.sparse.map": "9223372036854775808,1",
        }),
        file("evil", "x"),
      ),
    ],
    says: /evil|sparse/,
  },
  {
    name: "a sparse map that promises more data than there is is refused",
    source: () => [
      tar(
        pax({
          "GNU.sparse.size": "1000",
          "GNU.sparse.numblocks": "1",
          "GNU.sparse.name": "evil",
          "GNU.sparse.map": "0,900",
        }),
        file("evil", "x"),
      ),
    ],
    says: /evil|sparse/,
  },
  {
    name: "a sparse map with a wrong count is refused",
    source: () => [
      tar(
        pax({
          "GNU.sparse.size": "10",
          "GNU.sparse.numblocks": "7",
          "GNU.sparse.name": "evil",
          "GNU.sparse.map": "0,1",
        }),
        file("evil", "x"),
      ),
    ],
    says: /evil|sparse/,
  },
  {
    name: "a sparse map in the data that is not numbers is refused",
    source: () => [
      tar(
        pax({
          "GNU.sparse.major": "1",
          "GNU.sparse.minor": "0",
          "GNU.sparse.name": "evil",
          "GNU.sparse.realsize": "9",
        }),
        file("x", padded(Buffer.from("1\nzero\none\n"))),
      ),
    ],
    says: /evil|sparse/,
  },
  {
    name: "a sparse map in the data that never ends is refused",
    source: () => [
      tar(
        pax({
          "GNU.sparse.major": "1",
          "GNU.sparse.minor": "0",
          "GNU.sparse.name": "evil",
          "GNU.sparse.realsize": "9",
        }),
        file("x", padded(Buffer.from("99999999999\n"))),
      ),
    ],
    says: /evil|sparse/,
  },
  {
    name: "a sparse name that escapes is refused",
    source: ({ outside }) => [tar(paxSparse("1.0", `../../../../..${outside}/evil`, 10, [{ offset: 0, data: "x" }]))],
    says: /outside\/evil/,
  },
  {
    name: "a multi-volume continuation is refused",
    source: () => [tar(header({ name: "evil", type: "M", magic: "gnu" }))],
    says: /evil/,
  },
];

for (const fixture of REFUSED) refused(fixture);

contained({
  name: "what follows the end of the archive is no part of it, as docker reads it",
  source: () => [Buffer.concat([tar(file("a", "x")), file("evil", "x"), END])],
  inspect: (merged) => assert.deepEqual(readdirSync(merged), ["a"]),
});
contained({
  name: "the last padding and the end marker may be missing, as docker reads it",
  source: () => [whole.subarray(0, 512 * 4 + 5003)],
  inspect: (merged) => assert.equal(statSync(join(merged, "d/second")).size, 5000),
});
