/** Layers that use a symbolic link of their own, or one below, to lead what is finished on top of others astray. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { directory, file, hardlink, pax, symlink, tar } from "../helpers/tar-builder.ts";
import { contained, type Hostile, refused } from "./refusal.ts";

const BASE = tar(directory("usr/"), directory("usr/directory/"), symlink("lib", "usr/directory"), file("f", "lower"));

const REFUSED: readonly Hostile[] = [
  {
    name: "a hard link through a symlink of its layer to a file of the host is refused",
    source: ({ outside }) => [BASE, tar(pax({ linkpath: outside }), symlink("s", "x"), hardlink("y", "s/passwd"))],
    says: /"y": .*"s\/passwd".* not there/,
  },
  {
    name: "a hard link through a symlink of a lower layer to a file of the host is refused",
    source: ({ outside }) => [tar(pax({ linkpath: outside }), symlink("s", "x")), tar(hardlink("y", "s/passwd"))],
    says: /"y": .*"s\/passwd".* not there/,
  },
  {
    name: "a hard link to a directory, through a symlink of its layer, is refused",
    source: () => [tar(directory("usr/"), directory("usr/k/"), symlink("s", "usr"), hardlink("y", "s/k"))],
    says: /"y": a hard link to a directory/,
  },
  {
    name: "an entry below a lower symlink, whose directory the layer makes a symlink to the host, is refused",
    source: ({ outside }) => [BASE, tar(pax({ linkpath: outside }), symlink("usr", "x"), file("lib/evil", "x"))],
    says: /"usr": it is not a directory/,
  },
  {
    name: "a whiteout below a lower symlink, whose directory the layer makes a symlink to the host, is refused",
    source: ({ outside }) => [BASE, tar(pax({ linkpath: outside }), symlink("usr", "x"), file("lib/.wh.inner"))],
    says: /"usr": it is not a directory/,
  },
  {
    name: "a hard link to a lower file that the same layer replaces is refused: which of the two is unknown",
    source: () => [BASE, tar(hardlink("y", "f"), file("f", "new"))],
    says: /"y": .*"f".* replaced by the same layer/,
  },
  {
    name: "a hard link to a lower file that the same layer deletes is refused",
    source: () => [BASE, tar(hardlink("y", "f"), file(".wh.f"))],
    says: /"y": .*"f".* deleted by the same layer/,
  },
  {
    name: "a hard link to a lower file in a directory that the same layer empties is refused",
    source: () => [
      tar(directory("d/"), file("d/f", "x")),
      tar(directory("d/"), file("d/.wh..wh..opq"), hardlink("y", "d/f")),
    ],
    says: /"y": .*"d\/f".* not there/,
  },
];

for (const fixture of REFUSED) refused(fixture);

contained({
  name: "a hard link through symlinks, whose file the same layer has, is a link to that one",
  source: () => [BASE, tar(file("usr/directory/z", "own"), hardlink("y", "lib/z"))],
  inspect: (merged) => assert.equal(readFileSync(join(merged, "y"), "latin1"), "own"),
});
contained({
  name: "a hard link through a symlink of the layer to a lower file stays inside the root",
  source: () => [
    tar(directory("k/"), file("k/f", "lower")),
    tar(symlink("s", "/k"), hardlink("y", "s/f"), hardlink("z", "y")),
  ],
  inspect: (merged) => assert.equal(readFileSync(join(merged, "z"), "latin1"), "lower"),
});
