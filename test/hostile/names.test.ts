/** Names and links that point out of the layer, and parents that are not what they were. */

import assert from "node:assert/strict";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { directory, file, gnuLong, hardlink, pax, symlink, tar } from "../helpers/tar-builder.ts";
import { contained, type Hostile, refused } from "./refusal.ts";

const UP = "../".repeat(30);

const REFUSED: readonly Hostile[] = [
  {
    name: 'a name that begins with ".." is refused',
    source: ({ outside }) => [tar(file(`..${outside.slice(0, 20)}/evil`, "x"))],
    says: /"\.\.\/.*evil".*"\.\."/,
  },
  {
    name: 'a name with ".." in the middle is refused',
    source: () => [tar(directory("a/"), file("a/../../evil", "x"))],
    says: /a\/\.\.\/\.\.\/evil/,
  },
  { name: 'a directory named ".." is refused', source: () => [tar(directory("../"))], says: /"\.\.\/?"/ },
  {
    name: 'a name with ".." that would stay inside is refused too',
    source: () => [tar(directory("a/"), file("a/../b", "x"))],
    says: /a\/\.\.\/b/,
  },
  {
    name: "an absolute name is refused",
    source: ({ outside }) => [tar(pax({ path: `${outside}/evil` }), file("x", "x"))],
    says: /outside\/evil.*absolute/,
  },
  {
    name: 'a pax path with ".." is refused',
    source: ({ outside }) => [tar(pax({ path: `${UP}${outside}/evil` }), file("harmless", "x"))],
    says: /outside\/evil/,
  },
  {
    name: 'a GNU long name with ".." is refused',
    source: ({ outside }) => [tar(gnuLong("L", `${UP}${outside}/evil`), file("harmless", "x", { magic: "gnu" }))],
    says: /outside\/evil/,
  },
  {
    name: 'a ustar prefix with ".." is refused',
    source: () => [tar(file("evil", "x", { prefix: "../.." }))],
    says: /\.\.\/\.\.\/evil/,
  },
  {
    name: "a global pax header cannot bring a path that escapes",
    source: ({ outside }) => [tar(pax({ path: `${UP}${outside}/evil` }, { type: "g" }), file("../still-refused", "x"))],
    says: /global.*path|still-refused/,
  },
  {
    name: "a pax path with a NUL is refused",
    source: () => [tar(pax({ path: "a\0b" }), file("x"))],
    says: /a\\x00b|NUL/,
  },
  {
    name: "a name of 256 bytes is refused",
    source: () => [tar(pax({ path: `d/${"n".repeat(256)}` }), file("x"))],
    says: /nnnnnnnn.*25[56]/,
  },
  {
    name: "a path longer than PATH_MAX is refused",
    source: () => [tar(pax({ path: Array.from({ length: 40 }, () => "d".repeat(120)).join("/") }), file("x", "deep"))],
    says: /dddd.*4095/,
  },
  { name: "the root as a file is refused", source: () => [tar(file("./", "x", { type: "0" }))], says: /"\.?\/?"|root/ },
  {
    name: "the root as a symlink is refused",
    source: ({ outside }) => [tar(symlink(".", outside))],
    says: /"\.?\/?"|root/,
  },
  { name: "a name that is empty is refused", source: () => [tar(file("", "x"))], says: /name/ },
  {
    name: 'a hard link to a path with ".." is refused',
    source: ({ outside }) => [tar(pax({ linkpath: `${UP}${outside}/passwd` }), hardlink("evil", "x"))],
    says: /evil|passwd/,
  },
  {
    name: "a hard link to an absolute path outside is refused",
    source: ({ outside }) => [tar(pax({ linkpath: `${outside}/passwd` }), hardlink("evil", "x"))],
    says: /evil|passwd/,
  },
  {
    name: "a hard link to what is not there is refused",
    source: () => [tar(hardlink("evil", "missing"))],
    says: /"evil".*"?missing|missing.*evil/,
  },
  {
    name: "a hard link to a directory is refused",
    source: () => [tar(directory("d/"), hardlink("evil", "d"))],
    says: /evil.*director/,
  },
  { name: "a hard link to itself is refused", source: () => [tar(hardlink("evil", "evil"))], says: /evil/ },
  {
    name: "a hard link to the root is refused",
    source: () => [tar(hardlink("evil", "./"))],
    says: /evil/,
  },
  {
    name: "a hard link through a symlink to the outside is refused",
    source: ({ outside }) => [tar(pax({ linkpath: outside }), symlink("esc", "x"), hardlink("evil", "esc/passwd"))],
    says: /evil|esc\/passwd/,
  },
  {
    name: "a file through a symlink of its own name is refused",
    source: ({ outside }) => [tar(pax({ linkpath: `${outside}/passwd` }), symlink("s", "x"), file("s", "evil"))],
    says: /"s"/,
  },
  {
    name: "a file through a hard link to a symlink is refused",
    source: ({ outside }) => [
      tar(pax({ linkpath: `${outside}/passwd` }), symlink("s", "x"), hardlink("h", "s"), file("h", "evil")),
    ],
    says: /"h"/,
  },
  {
    name: "an entry below a symlink that climbs out of the root is refused",
    source: ({ outside }) => [tar(pax({ linkpath: `${UP}${outside}` }), symlink("esc", "x"), file("esc/evil", "x"))],
    says: /esc\/evil.*root/,
  },
  {
    name: "an entry below a chain of symlinks out of the root is refused",
    source: ({ outside }) => [
      tar(pax({ linkpath: `${UP}${outside}` }), symlink("b", "x"), symlink("a", "b"), file("a/evil", "x")),
    ],
    says: /a\/evil.*root/,
  },
  {
    name: "symlinks in a circle as a parent are refused",
    source: () => [tar(symlink("a", "b"), symlink("b", "a"), file("a/evil", "x"))],
    says: /a\/evil/,
  },
  {
    name: "a directory that turns into a symlink between entries is refused",
    source: ({ outside }) => [
      tar(directory("d/"), file("d/a", "x"), pax({ linkpath: outside }), symlink("d", "x"), file("d/evil", "x")),
    ],
    says: /"d"/,
  },
  {
    name: "a directory that turns into a file between entries is refused",
    source: () => [tar(directory("d/"), file("d/a", "x"), file("d", "x"), file("d/b", "x"))],
    says: /"d"/,
  },
  {
    name: "a file with entries below it is refused",
    source: () => [tar(file("f", "x"), file("f/evil", "x"))],
    says: /f\/evil/,
  },
];

for (const fixture of REFUSED) refused(fixture);

/** Entries below a symlink land where the symlink leads when the layer's root is "/", as in a chroot. */
const inside = (merged: string, outside: string, name: string): void => {
  assert.equal(readFileSync(join(merged, outside, name), "latin1"), "x");
  assert.equal(existsSync(join(outside, name)), false);
};

contained({
  name: "an entry below an absolute symlink stays inside the root",
  source: ({ outside }) => [tar(pax({ linkpath: outside }), symlink("esc", "x"), file("esc/evil", "x"))],
  inspect: (merged, { outside }) => inside(merged, outside, "evil"),
});
contained({
  name: "an entry below a symlink of a lower layer stays inside the root",
  source: ({ outside }) => [tar(pax({ linkpath: outside }), symlink("esc", "x")), tar(file("esc/evil", "x"))],
  inspect: (merged, { outside }) => inside(merged, outside, "evil"),
});
contained({
  name: "a whiteout below a symlink of a lower layer removes nothing outside",
  source: ({ outside }) => [tar(pax({ linkpath: outside }), symlink("esc", "x")), tar(file("esc/.wh.passwd"))],
  inspect: (_, { outside }) => assert.equal(existsSync(join(outside, "passwd")), true),
});
contained({
  name: "an opaque mark below a symlink of a lower layer hides nothing outside",
  source: ({ outside }) => [tar(pax({ linkpath: outside }), symlink("esc", "x")), tar(file("esc/.wh..wh..opq"))],
  inspect: (_, { outside }) => assert.equal(existsSync(join(outside, "passwd")), true),
});
contained({
  name: "a symlink's own mode, owner, time and attributes never reach its target",
  source: ({ outside }) => [
    tar(
      pax({ linkpath: `${outside}/passwd`, mtime: "1.5", "SCHILY.xattr.trusted.evil": "x" }),
      symlink("s", "x", { mode: 0o4777, uid: 1000, gid: 1000 }),
    ),
  ],
  inspect: (merged) => assert.equal(lstatSync(join(merged, "s")).uid, 1000),
});
contained({
  name: "a hard link to a symlink is the symlink, not its target",
  source: ({ outside }) => [tar(pax({ linkpath: `${outside}/passwd` }), symlink("s", "x"), hardlink("h", "s"))],
  inspect: (merged) => assert.equal(lstatSync(join(merged, "h")).isSymbolicLink(), true),
});
