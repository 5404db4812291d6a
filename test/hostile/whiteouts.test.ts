/** Whiteouts and devices that are not what they seem, and entries that contradict each other. */

import assert from "node:assert/strict";
import { existsSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { device, directory, file, hardlink, header, pax, symlink, tar } from "../helpers/tar-builder.ts";
import { contained, type Hostile, refused } from "./refusal.ts";

const REFUSED: readonly Hostile[] = [
  { name: 'a bare ".wh." is refused', source: () => [tar(file(".wh."))], says: /"\.wh\."/ },
  {
    name: 'a bare ".wh." in a directory is refused',
    source: () => [tar(directory("d/"), file("d/.wh."))],
    says: /d\/\.wh\./,
  },
  { name: 'a whiteout of "." is refused', source: () => [tar(file(".wh.."))], says: /"\.wh\.\."/ },
  {
    name: 'a whiteout of ".." is refused',
    source: () => [tar(directory("d/"), file("d/.wh..."))],
    says: /d\/\.wh\.\.\./,
  },
  {
    name: "a directory with the name of a whiteout is refused",
    source: () => [tar(directory(".wh.d/"), file(".wh.d/evil", "x"))],
    says: /\.wh\.d/,
  },
  {
    name: "an entry below the name of a whiteout is refused",
    source: () => [tar(file("d/.wh.e/evil", "x"))],
    says: /\.wh\.e\/evil/,
  },
  {
    name: "an opaque mark that is a directory is refused",
    source: () => [tar(directory("d/"), directory("d/.wh..wh..opq/"))],
    says: /d\/\.wh\.\.wh\.\.opq/,
  },
  {
    name: "an opaque mark that is a symlink is refused",
    source: ({ outside }) => [tar(directory("d/"), pax({ linkpath: outside }), symlink("d/.wh..wh..opq", "x"))],
    says: /d\/\.wh\.\.wh\.\.opq/,
  },
  { name: "a whiteout that is a device is refused", source: () => [tar(device(".wh.b", "3", 1, 3))], says: /\.wh\.b/ },
  {
    name: "a hard link to a whiteout is refused",
    source: () => [tar(file(".wh.b"), hardlink("evil", ".wh.b"))],
    says: /evil|\.wh\.b/,
  },
  {
    name: "a whiteout with content is refused",
    source: () => [tar(file(".wh.b", "content"))],
    says: /\.wh\.b/,
  },
  {
    name: "a literal 0:0 character device, which overlayfs takes for a whiteout, is refused",
    source: () => [tar(device("null", "3", 0, 0))],
    says: /"null"/,
  },
  {
    name: "the same file twice is refused",
    source: () => [tar(file("a", "one"), file("b", "x"), file("a", "two"))],
    says: /"a"/,
  },
  {
    name: "the same file under two spellings is refused",
    source: () => [tar(file("d/a", "one"), file("./d//a", "two"))],
    says: /d\/\/?a/,
  },
  {
    name: "a symlink twice with two targets is refused",
    source: () => [tar(symlink("a", "x"), symlink("a", "y"))],
    says: /"a"/,
  },
  {
    name: "a file that becomes a directory is refused",
    source: () => [tar(file("a", "x"), directory("a/"), file("a/b", "x"))],
    says: /"a\/?"/,
  },
  {
    name: "an entry that a whiteout of the same layer contradicts twice over is refused",
    source: () => [tar(file("a", "x"), file(".wh.a"), file("a", "y"))],
    says: /"a"/,
  },
  {
    name: "a device number that Linux cannot hold is refused",
    source: () => [tar(header({ name: "dev", type: "3", devMajor: 2 ** 32, devMinor: 1 }))],
    says: /"dev"|devmajor|device/i,
  },
];

for (const fixture of REFUSED) refused(fixture);

contained({
  name: "whiteouts linked to each other, as AUFS makes them, are whiteouts",
  source: () => [tar(file("a", "x"), file("b", "x")), tar(file(".wh.a"), hardlink(".wh.b", ".wh.a"), file("c"))],
  inspect: (merged) => assert.deepEqual(readdirSync(merged), ["c"]),
});
contained({
  name: "a whiteout of what is not there changes nothing",
  source: () => [tar(file("a", "x")), tar(file(".wh.nothing"), directory("d/"), file("d/.wh.nothing"))],
  inspect: (merged) => assert.deepEqual(readdirSync(merged).sort(), ["a", "d"]),
});
contained({
  name: "a whiteout beside an entry of its own name hides the lower one only",
  source: () => [tar(directory("a/"), file("a/old", "x")), tar(file(".wh.a"), directory("a/"), file("a/new", "x"))],
  inspect: (merged) => assert.deepEqual(readdirSync(join(merged, "a")), ["new"]),
});
contained({
  name: "an overlay redirect in a layer leads nowhere",
  source: () => [
    tar(directory("secret/"), file("secret/key", "x")),
    tar(pax({ "SCHILY.xattr.trusted.overlay.redirect": "/secret" }), directory("d/")),
  ],
  inspect: (merged) => assert.deepEqual(readdirSync(join(merged, "d")), []),
});
contained({
  name: "an overlay metacopy mark in a layer takes no content from below",
  source: () => [
    tar(file("f", "lower", { mode: 0o600 })),
    tar(pax({ "SCHILY.xattr.trusted.overlay.metacopy": "" }), file("f", "")),
  ],
  inspect: (merged) => assert.equal(readFileSync(join(merged, "f"), "latin1"), ""),
});
contained({
  name: "an overlay whiteout attribute in a layer hides nothing",
  source: () => [
    tar(directory("d/"), file("d/f", "lower")),
    tar(
      pax({ "SCHILY.xattr.trusted.overlay.opaque": "x" }),
      directory("d/"),
      pax({ "SCHILY.xattr.trusted.overlay.whiteout": "y" }),
      file("d/f", ""),
    ),
  ],
  inspect: (merged) => assert.equal(lstatSync(join(merged, "d/f")).size, 0),
});
contained({
  name: "AUFS leftovers are skipped, whatever they are",
  source: () => [tar(directory(".wh..wh.plnk/"), file(".wh..wh.plnk/1.2", "x"), file(".wh..wh.aufs"), file("a", "x"))],
  inspect: (merged) => {
    assert.deepEqual(readdirSync(merged), ["a"]);
    assert.equal(existsSync(join(merged, ".wh..wh.plnk")), false);
  },
});
