/** Inode and device numbers: the same for the same file, whatever is done to it. */

import assert from "node:assert/strict";
import { fstatSync } from "node:fs";
import { O_RDWR } from "../calls.ts";
import { check, group } from "../check.ts";
import { type Place, writeTo } from "../place.ts";

const TREE = "f=1 d/x=1 d/e/y=1 l->f";

function device(place: Place, name: string): string {
  const { devMajor, devMinor } = place.stat(name);
  return `${devMajor}:${devMinor}`;
}

/** A check that an inode number is the same after an action. */
function keeps(what: string, name: string, action: (place: Place) => void) {
  return check(`${what} keeps the inode number`, TREE, (place) => {
    const { ino } = place.stat(name);
    action(place);
    assert.equal(place.stat(name).ino, ino);
  });
}

export const inodes = group(
  "inodes",
  keeps("writing a file", "f", (place) => place.append("f", "2")),
  keeps("setting a file's mode", "f", (place) => place.chmod("f", 0o600)),
  keeps("setting a directory's mode", "d", (place) => place.chmod("d", 0o700)),
  keeps("making something in a directory", "d", (place) => place.write("d/new", "1")),
  keeps("making something deep in a directory", "d/e", (place) => place.write("d/e/new", "1")),
  keeps("giving a symbolic link another owner", "l", (place) => place.chown("l", 0, 0)),
  keeps("replacing a neighbour", "f", (place) => place.write("g", "1")),
  check("a renamed file and directory keep theirs", TREE, (place) => {
    const [f, e] = [place.stat("f").ino, place.stat("d/e").ino];
    place.rename("f", "d/g");
    place.mkdir("n");
    const n = place.stat("n").ino;
    place.rename("n", "d/n");
    assert.deepEqual([place.stat("d/g").ino, place.stat("d/e").ino, place.stat("d/n").ino], [f, e, n]);
  }),
  check("each file has an inode number of its own", ["f=1 d/x=1", "g=2 d/y=2", "h=3 d/z=3"], (place) => {
    place.write("new", "4");
    const all = ["", "f", "g", "h", "new", "d", "d/x", "d/y", "d/z"].map((name) => place.stat(name).ino);
    assert.equal(new Set(all).size, all.length);
  }),
  check("what is made anew under an old name, while the old is open, is another file", TREE, (place) => {
    const fd = place.open("f");
    place.unlink("f");
    place.write("f", "2");
    assert.notEqual(place.stat("f").ino, fstatSync(fd, { bigint: true }).ino);
  }),
  check("everything in the tree is on one device", ["f=1 d/x=1 l->f", "g=2 d/y=2", "d/z=3"], (place) => {
    place.write("new", "4");
    const devices = ["", "f", "g", "l", "new", "d", "d/x", "d/y", "d/z"].map((name) => device(place, name));
    assert.deepEqual([...new Set(devices)].length, 1, devices.join(" "));
  }),
  check("writing a file keeps its device number", TREE, (place) => {
    const before = device(place, "f");
    place.append("f", "2");
    assert.equal(device(place, "f"), before);
  }),
  check("everything in the tree is on one mount", ["f=1 d/x=1", "d/y=2"], (place) => {
    const mounts = ["", "f", "d", "d/x", "d/y"].map((name) => place.stat(name).mountId);
    assert.equal(new Set(mounts).size, 1);
  }),
  check("a descriptor and a name tell the same file, also after a write", TREE, (place) => {
    const same = (fd: number): void => {
      const [open, named] = [fstatSync(fd, { bigint: true }), place.stat("f")];
      assert.deepEqual([open.ino, Number(open.size), Number(open.nlink)], [named.ino, named.sizeBytes, named.nlink]);
      assert.equal(open.mode, BigInt(named.mode));
    };
    const reader = place.open("f");
    same(reader);
    writeTo(place.open("f", O_RDWR), "123");
    same(reader);
    same(place.open("f"));
  }),
  check("a file has one link", TREE, (place) => {
    assert.deepEqual([place.stat("f").nlink, place.stat("d/x").nlink, place.stat("l").nlink], [1, 1, 1]);
    place.append("f", "2");
    assert.equal(place.stat("f").nlink, 1);
  }),
  check("a directory has a link for each directory in it, and two", ["d/a/ d/b/ d/f=1", "d/c/ -d/a"], (place) => {
    assert.equal(place.stat("d").nlink, 4);
  }),
  check("listings keep their inode numbers when a file is written", TREE, (place) => {
    const listed = (): Readonly<Record<string, bigint>> =>
      Object.fromEntries(place.entries("d").map((entry) => [entry.name, entry.ino]));
    const before = listed();
    place.append("d/x", "2");
    place.chmod("d/e", 0o700);
    assert.deepEqual(listed(), before);
  }),
);
