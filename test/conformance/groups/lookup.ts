/** What a stack of layers shows: whiteouts, opaque directories, other types in the way, and how paths are resolved. */

import assert from "node:assert/strict";
import { joinHost } from "../../../src/paths.ts";
import { AT_FDCWD, chmod, linkAt } from "../../../src/sys/file.ts";
import { check, group, refused } from "../check.ts";
import { kindOf } from "../place.ts";

/** Each of these has a name in three layers, in every combination of types that union file systems get wrong. */
const STACK = [
  "m/ m/base=1 m/all=1 m/gone=1 m/back=1 o/ o/x=1 o/d/ o/d/y=1 fd=1 df/ df/x=1 ds/ ds/x=1 sd->m fs=1 w/ w/x=1 w2/ w2/x=1",
  "m/ m/middle=2 m/all=2 -m/gone -m/back o/! o/new=2 fd/ fd/z=2 df=2 ds->m sd/ sd/z=2 fs->m/base -w w2/ -w2/x",
  "m/ m/top=3 m/all=3 m/back=3 o/ o/top=3 o/d/ o/d/t=3 w/ w/y=3",
];
const STACK_SHOWS =
  "df=2 ds->m fd/ fd/z=2 fs->m/base m/ m/all=3 m/back=3 m/base=1 m/middle=2 m/top=3 " +
  "o/ o/d/ o/d/t=3 o/new=2 o/top=3 sd/ sd/z=2 w/ w/y=3 w2/";

export const lookup = group(
  "lookup",
  check("a stack of layers shows what its changes add up to", STACK, (place) => {
    assert.equal(place.tree(), STACK_SHOWS);
  }),
  check("each name is found without listing its directory first", STACK, (place) => {
    for (const name of ["m/base", "m/middle", "m/all", "m/top", "m/back", "o/new", "o/top", "o/d/t", "fd/z", "w/y"])
      assert.equal(kindOf(place.path(name), false), "file", name);
    for (const name of ["m/gone", "o/x", "o/d/y", "df/x", "ds/x", "w/x", "w2/x"]) {
      if (name.startsWith("df/")) refused("ENOTDIR", () => place.stat(name));
      else refused("ENOENT", () => place.stat(name));
    }
  }),
  check("a whiteout hides only the layers below it", ["a=1 b=1", "-a -b", "a=3", "-c"], (place) => {
    assert.equal(place.tree(), "a=3");
  }),
  check("an opaque directory shows its own children and those above it", ["d/x=1", "d/! d/y=2", "d/z=3"], (place) => {
    assert.equal(place.tree(), "d/ d/y=2 d/z=3");
  }),
  check("a directory over a file hides the directory below the file", ["d/x=1", "d=2", "d/y=3"], (place) => {
    assert.equal(place.tree(), "d/ d/y=3");
  }),
  check("a whiteout hides a whole directory, also from paths through it", ["d/e/f=1", "-d"], (place) => {
    for (const name of ["d", "d/e", "d/e/f"]) refused("ENOENT", () => place.stat(name));
  }),
  check(
    "a symbolic link over a directory leads where it points, not to what it hides",
    ["d/x=1 e/x=2", "d->e"],
    (place) => {
      assert.equal(place.read("d/x"), "2");
      assert.equal(kindOf(place.path("d"), false), "symlink");
      assert.equal(kindOf(place.path("d"), true), "directory");
    },
  ),
  check(
    "a merged directory has the mode of its topmost layer",
    {
      tree: ["d/x=1", "d/y=2", "d/z=3"],
      furnish: (...layers) => {
        for (const [index, mode] of [0o700, 0o711, 0o755].entries())
          chmod(AT_FDCWD, joinHost(layers[index] ?? layers[0] ?? joinHost("" as never), "d"), mode);
      },
    },
    (place) => assert.equal(place.mode("d"), "755"),
  ),
  check("what is in no layer is not found", "d/x=1", (place) => {
    refused("ENOENT", () => place.stat("nothing"));
    refused("ENOENT", () => place.stat("d/nothing"));
    refused("ENOENT", () => place.stat("nothing/below"));
  }),
  check("a name that was not found is found once it is made", "d/x=1", (place) => {
    refused("ENOENT", () => place.stat("d/new"));
    place.write("d/new", "1");
    assert.equal(place.read("d/new"), "1");
    place.unlink("d/new");
    refused("ENOENT", () => place.stat("d/new"));
  }),
  check("a path through a file is refused", "f=1", (place) => {
    refused("ENOTDIR", () => place.stat("f/x"));
    refused("ENOTDIR", () => place.stat("f/"));
    refused("ENOTDIR", () => place.stat("f/."));
  }),
  check("symbolic links in a circle are refused", "a->b b->a self->self/x", (place) => {
    refused("ELOOP", () => place.read("a"));
    refused("ELOOP", () => place.read("self"));
  }),
  check("a chain of forty symbolic links is followed, one of forty-one is not", "f=1", (place) => {
    place.symlink("f", "l0");
    for (let at = 1; at <= 40; at++) place.symlink(`l${at - 1}`, `l${at}`);
    assert.equal(place.read("l39"), "1");
    refused("ELOOP", () => place.read("l40"));
  }),
  check("dot and dot-dot are the directory and the one above it", ["a/b/x=1", "a/b/y=2"], (place) => {
    assert.equal(place.stat("a/b/.").ino, place.stat("a/b").ino);
    assert.equal(place.stat("a/b/..").ino, place.stat("a").ino);
    assert.equal(place.stat("a/b/../..").ino, place.stat().ino);
  }),
  check("a path of a hundred directories is walked", "x=1", (place) => {
    const deep = Array<string>(100).fill("d").join("/");
    for (let at = 1; at <= deep.length; at += 2) place.mkdir(deep.slice(0, at));
    place.write(`${deep}/f`, "deep");
    assert.equal(place.read(`${deep}/f`), "deep");
  }),
  check(
    "two names of one lower file show one file",
    {
      tree: ["a=1"],
      furnish: (base) => base !== undefined && linkAt(AT_FDCWD, joinHost(base, "a"), AT_FDCWD, joinHost(base, "b")),
    },
    (place) => {
      assert.equal(place.tree(), "a=1 b=1");
      assert.equal(place.stat("a").ino, place.stat("b").ino);
    },
  ),
);
