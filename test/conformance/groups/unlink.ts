/** unlink(2) and rmdir(2): names go, open files stay, and what was below does not come back. */

import assert from "node:assert/strict";
import { fchmodSync, fstatSync, ftruncateSync, rmSync } from "node:fs";
import { joinHost } from "../../../src/paths.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  linkAt,
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_WRONLY,
  openAt,
  unlinkAt,
} from "../../../src/sys/file.ts";
import { getdents, O_RDWR } from "../calls.ts";
import { check, group, refused } from "../check.ts";
import { readFrom, writeTo } from "../place.ts";

export const unlink = group(
  "unlink",
  check("a removed file is gone and its neighbour is not", "d/f=1 d/g=2", (place) => {
    place.unlink("d/f");
    refused("ENOENT", () => place.stat("d/f"));
    refused("ENOENT", () => place.unlink("d/f"));
    assert.equal(place.tree(), "d/ d/g=2");
  }),
  check("an open file is read and written after its name is gone", "f=1", (place) => {
    const fd = place.open("f", O_RDWR);
    place.unlink("f");
    assert.equal(readFrom(fd, 0), "1");
    writeTo(fd, "23");
    assert.equal(readFrom(fd, 0), "23");
    ftruncateSync(fd, 1);
    assert.deepEqual([fstatSync(fd).size, fstatSync(fd).nlink], [1, 0]);
  }),
  check("a file opened for reading is read after its name is gone", "f=1", (place) => {
    const fd = place.open("f");
    place.unlink("f");
    place.write("f", "another");
    assert.equal(readFrom(fd, 0), "1");
    assert.equal(fstatSync(fd).nlink, 0);
  }),
  check("the mode of an open file is changed after its name is gone", "f=1", (place) => {
    const fd = place.open("f", O_RDWR);
    place.unlink("f");
    fchmodSync(fd, 0o600);
    assert.equal(fstatSync(fd).mode & 0o7777, 0o600);
  }),
  check("the mode of a file opened for reading is changed after its name is gone", "f=1", (place) => {
    const fd = place.open("f");
    place.unlink("f");
    fchmodSync(fd, 0o600);
    assert.equal(fstatSync(fd).mode & 0o7777, 0o600);
    assert.equal(place.exists("f"), false);
  }),
  check("a removed name is free for any other kind of file", "f=1 d/x=1 l->f", (place) => {
    place.unlink("f");
    place.mkdir("f");
    place.unlink("d/x");
    place.rmdir("d");
    place.symlink("f", "d");
    place.unlink("l");
    place.write("l", "file");
    assert.equal(place.tree(), "d->f f/ l=file");
  }),
  check("a file is removed and made again many times", "f=0", (place) => {
    for (let at = 1; at <= 20; at++) {
      place.unlink("f");
      place.write("f", String(at));
      assert.equal(place.read("f"), String(at));
    }
  }),
  check("a directory made again does not show its old children", "d/x=1 d/e/y=2", (place) => {
    rmSync(place.path("d"), { recursive: true });
    place.mkdir("d");
    assert.equal(place.names("d"), "");
    refused("ENOENT", () => place.stat("d/x"));
    place.mkdir("d/e");
    assert.equal(place.tree(), "d/ d/e/");
    refused("ENOENT", () => place.stat("d/e/y"));
  }),
  check(
    "a merged tree is removed, from its leaves up",
    ["d/a=1 d/e/f/g=1", "d/b=2 d/e/h=2 -d/e/f", "d/c=3 d/e/f/i=3"],
    (place) => {
      rmSync(place.path("d"), { recursive: true });
      assert.equal(place.tree(), "");
      place.write("d", "1");
      assert.equal(place.tree(), "d=1");
    },
  ),
  check("unlink refuses a directory, rmdir a file", "f=1 d/ l->d", (place) => {
    refused("EISDIR", () => place.unlink("d"));
    refused("ENOTDIR", () => place.rmdir("f"));
    refused("ENOTDIR", () => place.rmdir("l"));
    refused("ENOENT", () => place.rmdir("nothing"));
    assert.equal(place.tree(), "d/ f=1 l->d");
  }),
  check("a symbolic link is removed, not what it points to", "l->d d/f=1", (place) => {
    place.unlink("l");
    assert.equal(place.tree(), "d/ d/f=1");
  }),
  check("a directory with something in it is not removed", "d/f=1 e/d/", (place) => {
    refused("ENOTEMPTY", () => place.rmdir("d"));
    refused("ENOTEMPTY", () => place.rmdir("e"));
    assert.equal(place.tree(), "d/ d/f=1 e/ e/d/");
  }),
  check("a directory is removed once it is empty", "d/f=1 d/g=1", (place) => {
    place.unlink("d/f");
    refused("ENOTEMPTY", () => place.rmdir("d"));
    place.unlink("d/g");
    place.rmdir("d");
    assert.equal(place.tree(), "");
  }),
  check(
    "a directory whose layers hide each other's names is empty",
    ["d/f=1 d/e/g=1", "-d/f d/e/", "-d/e"],
    (place) => {
      place.rmdir("d");
      assert.equal(place.tree(), "");
    },
  ),
  check("a directory with a name in its lowest layer only is not empty", ["d/f=1", "d/", "d/"], (place) => {
    refused("ENOTEMPTY", () => place.rmdir("d"));
  }),
  check("an opaque directory is removed, and stays so", ["d/f=1", "d/!"], (place) => {
    place.rmdir("d");
    assert.equal(place.tree(), "");
    place.mkdir("d");
    assert.equal(place.names("d"), "");
  }),
  check(
    "what a whiteout hides comes back as what is made there, with nothing of the old",
    ["a/x=1 b=1", "-a -b"],
    (place) => {
      place.mkdir("a");
      place.mkdir("b");
      assert.equal(place.tree(), "a/ b/");
      place.rmdir("a");
      place.rmdir("b");
      assert.equal(place.tree(), "");
    },
  ),
  check("rmdir refuses the directory itself and the one above", "d/e/", (place) => {
    refused("EINVAL", () => unlinkAt(AT_FDCWD, place.path("d/."), AT_REMOVEDIR));
    refused("ENOTEMPTY", () => unlinkAt(AT_FDCWD, place.path("d/e/.."), AT_REMOVEDIR));
  }),
  check("nothing is made in a directory that is gone but open", "d/", (place) => {
    const fd = place.open("d", O_RDONLY | O_DIRECTORY);
    place.rmdir("d");
    refused("ENOENT", () => openAt(fd, "f", O_CREAT | O_WRONLY, 0o644));
    place.mkdir("d");
    assert.equal(place.names("d"), "");
  }),
  check("a removed directory has no links", "d/", (place) => {
    const fd = place.open("d", O_RDONLY | O_DIRECTORY);
    place.rmdir("d");
    assert.equal(fstatSync(fd).nlink, 0);
  }),
  check("an open directory that was made again is another one", "d/x=1", (place) => {
    const fd = place.open("d", O_RDONLY | O_DIRECTORY);
    place.unlink("d/x");
    place.rmdir("d");
    place.mkdir("d");
    place.write("d/y", "1");
    let names: readonly string[] = [];
    try {
      names = getdents(fd).map((entry) => entry.name);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "ENOENT");
    }
    assert.ok(!names.includes("y"));
  }),
  check(
    "one of two names is removed, the other stays",
    {
      tree: "a=1",
      furnish: (layer) => layer !== undefined && linkAt(AT_FDCWD, joinHost(layer, "a"), AT_FDCWD, joinHost(layer, "b")),
    },
    (place) => {
      place.unlink("a");
      assert.equal(place.tree(), "b=1");
      assert.equal(place.stat("b").nlink, 1);
    },
  ),
);
