/** Hard links: one file under several names, whatever is done to it and by which name. */

import assert from "node:assert/strict";
import { fstatSync } from "node:fs";
import { joinHost } from "../../../src/paths.ts";
import { AT_FDCWD, linkAt, O_WRONLY } from "../../../src/sys/file.ts";
import { getXattr, setXattr } from "../../../src/sys/xattr.ts";
import { linkOpenFile, O_APPEND, O_RDWR, utimens } from "../calls.ts";
import { check, type Given, group, refused } from "../check.ts";
import { type Place, writeTo } from "../place.ts";

/** One file of three names, in two directories. */
const LINKED: Given = {
  tree: "a=1 d/",
  furnish: (layer) => {
    if (layer === undefined) return;
    for (const name of ["b", "d/c"]) linkAt(AT_FDCWD, joinHost(layer, "a"), AT_FDCWD, joinHost(layer, name));
  },
};
const NAMES = ["a", "b", "d/c"];

function assertOneFile(place: Place, names: readonly string[]): void {
  const inodes = new Set(names.map((name) => place.stat(name).ino));
  assert.equal(inodes.size, 1, "the names have different inode numbers");
  for (const name of names) assert.equal(place.stat(name).nlink, names.length, name);
}

export const links = group(
  "links",
  check("a new name is the same file", "a=1 d/", (place) => {
    place.link("a", "d/b");
    assert.equal(place.tree(), "a=1 d/ d/b=1");
    assertOneFile(place, ["a", "d/b"]);
  }),
  check("a file made and linked is written by one name and read by the other", "a=1", (place) => {
    place.link("a", "b");
    place.write("b", "2");
    place.append("a", "3");
    assert.equal(place.tree(), "a=23 b=23");
    assertOneFile(place, ["a", "b"]);
  }),
  check("a link to a removed name's other name counts on", "a=1", (place) => {
    place.link("a", "b");
    place.unlink("a");
    assertOneFile(place, ["b"]);
    place.link("b", "a");
    assertOneFile(place, ["a", "b"]);
  }),
  check("a name that is there is not linked over", "a=1 b=2 d/ l->x", (place) => {
    for (const name of ["a", "b", "d", "l"]) refused("EEXIST", () => place.link("a", name));
    assert.equal(place.tree(), "a=1 b=2 d/ l->x");
  }),
  check("a name that a whiteout hides is linked to", ["a=1 b=2", "-b"], (place) => {
    place.link("a", "b");
    assertOneFile(place, ["a", "b"]);
    place.unlink("b");
    assert.equal(place.tree(), "a=1");
  }),
  check("a directory has no second name", "d/", (place) => {
    refused("EPERM", () => place.link("d", "e"));
  }),
  check("link needs the file and the directory", "a=1", (place) => {
    refused("ENOENT", () => place.link("nothing", "b"));
    refused("ENOENT", () => place.link("a", "nothing/b"));
    refused("ENOTDIR", () => place.link("a", "a/b"));
  }),
  check("a symbolic link is linked itself", "l->x", (place) => {
    place.link("l", "m");
    assert.equal(place.tree(), "l->x m->x");
    assertOneFile(place, ["l", "m"]);
  }),
  check("an open file without a name gets none", "a=1", (place) => {
    const fd = place.open("a", O_RDWR);
    place.unlink("a");
    refused("ENOENT", () => linkOpenFile(fd, place.path("b")));
  }),
  check("a file has many names", "a=1", (place) => {
    for (let at = 0; at < 100; at++) place.link("a", `b${at}`);
    assert.equal(place.stat("b99").nlink, 101);
    for (let at = 0; at < 100; at++) place.unlink(`b${at}`);
    assert.equal(place.stat("a").nlink, 1);
  }),
  check("names that were one file before count as one file", LINKED, (place) => assertOneFile(place, NAMES)),
  check("a file of several names is written by one and read by all", LINKED, (place) => {
    place.write("b", "2");
    assert.equal(place.tree(), "a=2 b=2 d/ d/c=2");
  }),
  check("a file of several names stays one file when it is written", LINKED, (place) => {
    place.append("d/c", "2");
    assertOneFile(place, NAMES);
  }),
  check("a mode set by one name shows by all", LINKED, (place) => {
    place.chmod("a", 0o600);
    assert.deepEqual(
      NAMES.map((name) => place.mode(name)),
      ["600", "600", "600"],
    );
  }),
  check("an owner set by one name shows by all", { ...LINKED, root: true }, (place) => {
    place.chown("d/c", 7, 8);
    assert.deepEqual(
      NAMES.map((name) => place.owner(name)),
      ["7:8", "7:8", "7:8"],
    );
  }),
  check("a time set by one name shows by all", LINKED, (place) => {
    utimens(place.path("b"), 1n, 2n);
    assert.deepEqual(
      NAMES.map((name) => place.stat(name).mtimeNs),
      [2n, 2n, 2n],
    );
  }),
  check("an attribute set by one name shows by all", LINKED, (place) => {
    setXattr(place.path("a"), "user.x", Buffer.from("1"));
    for (const name of NAMES) assert.equal(getXattr(place.path(name), "user.x")?.toString(), "1", name);
  }),
  check("removing one name leaves the others, one link fewer", LINKED, (place) => {
    place.unlink("b");
    assertOneFile(place, ["a", "d/c"]);
    place.unlink("a");
    assertOneFile(place, ["d/c"]);
    assert.equal(place.tree(), "d/ d/c=1");
  }),
  check("renaming one name leaves one file", LINKED, (place) => {
    place.rename("b", "d/b");
    assert.equal(place.tree(), "a=1 d/ d/b=1 d/c=1");
    assertOneFile(place, ["a", "d/b", "d/c"]);
  }),
  check("a further name is one more link", LINKED, (place) => {
    place.link("a", "e");
    assertOneFile(place, [...NAMES, "e"]);
  }),
  check("what is written through a descriptor of one name shows by another", LINKED, (place) => {
    const fd = place.open("a", O_WRONLY | O_APPEND);
    place.append("b", "2");
    writeTo(fd, "3");
    assert.equal(place.read("d/c"), "123");
    assert.equal(fstatSync(fd).nlink, 3);
  }),
  check(
    "names of one file in two directories of different layers stay one file",
    {
      tree: ["d/a=1 e/", "d/x=1 e/y=1"],
      furnish: (base) => base !== undefined && linkAt(AT_FDCWD, joinHost(base, "d/a"), AT_FDCWD, joinHost(base, "e/b")),
    },
    (place) => {
      assertOneFile(place, ["d/a", "e/b"]);
      place.append("d/a", "2");
      assert.equal(place.read("e/b"), "12");
    },
  ),
);
