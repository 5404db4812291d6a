/** Modes and owners: chmod, chown, umask, and when the setuid and setgid bits go (inode(7), chown(2), path_resolution(7)). */

import assert from "node:assert/strict";
import { fchmodSync, fchownSync, ftruncateSync } from "node:fs";
import { joinHost } from "../../../src/paths.ts";
import { AT_FDCWD, chmod, chown, mknodAt, O_CREAT, O_WRONLY, S_IFIFO } from "../../../src/sys/file.ts";
import { check, type Given, group, refused } from "../check.ts";
import { ALICE, asUser, BOB } from "../credentials.ts";
import { writeTo } from "../place.ts";

/** A file of root with the setuid and setgid bits that everybody may write. */
const SETUID: Given = {
  tree: "f=12345",
  root: true,
  furnish: (layer) => layer !== undefined && chmod(AT_FDCWD, joinHost(layer, "f"), 0o6777),
};
/** A file of Alice and her group. */
const OWNED: Given = {
  tree: "f=1",
  root: true,
  furnish: (layer) => {
    if (layer === undefined) return;
    chown(AT_FDCWD, joinHost(layer, "f"), ALICE.uid, ALICE.gid);
    chmod(AT_FDCWD, joinHost(layer, "f"), 0o644);
  },
};
/** A directory of group 500 with the setgid bit, open to all. */
const SETGID_DIRECTORY: Given = {
  tree: "d/",
  root: true,
  furnish: (layer) => {
    if (layer === undefined) return;
    chown(AT_FDCWD, joinHost(layer, "d"), 0, 500);
    chmod(AT_FDCWD, joinHost(layer, "d"), 0o2777);
  },
};

export const modes = group(
  "modes",
  check("every bit of a mode is kept, of a file and of a directory", "f=1 d/", (place) => {
    for (const mode of [0o0, 0o7777, 0o4000, 0o2010, 0o1000, 0o644, 0o751]) {
      for (const name of ["f", "d"]) {
        place.chmod(name, mode);
        assert.equal(place.mode(name), mode.toString(8));
      }
    }
    place.chmod("d", 0o755);
  }),
  check("a mode is set through a descriptor opened for reading", "f=1", (place) => {
    fchmodSync(place.open("f"), 0o604);
    assert.equal(place.mode("f"), "604");
  }),
  check("chmod follows a symbolic link and leaves it alone", "l->f f=1", (place) => {
    place.chmod("l", 0o600);
    assert.deepEqual([place.mode("f"), place.mode("l")], ["600", "777"]);
  }),
  check("chmod of a directory changes nothing in it", "d/f=1 d/e/", (place) => {
    place.chmod("d", 0o700);
    assert.deepEqual([place.mode("d"), place.tree()], ["700", "d/ d/e/ d/f=1"]);
    assert.deepEqual([place.mode("d/f"), place.mode("d/e")], ["644", "755"]);
  }),
  check("owners of any number are kept", { tree: "f=1 d/", root: true }, (place) => {
    for (const name of ["f", "d"]) {
      place.chown(name, 65_536, 4_294_967_290);
      assert.equal(place.owner(name), "65536:4294967290");
    }
  }),
  check("an owner of -1 stays", OWNED, (place) => {
    place.chown("f", 0xffffffff, 7);
    assert.equal(place.owner("f"), `${ALICE.uid}:7`);
    place.chown("f", 8, 0xffffffff);
    assert.equal(place.owner("f"), "8:7");
  }),
  check("an owner is set through a descriptor", { tree: "f=1", root: true }, (place) => {
    fchownSync(place.open("f"), 5, 6);
    assert.equal(place.owner("f"), "5:6");
  }),
  check("a new owner takes the setuid and setgid bits away", SETUID, (place) => {
    place.chown("f", 5, 0xffffffff);
    assert.equal(place.mode("f"), "777");
  }),
  check("a new owner leaves the setgid bit of a file that the group may not execute", SETUID, (place) => {
    place.chmod("f", 0o6767);
    place.chown("f", 5, 6);
    assert.equal(place.mode("f"), "2767");
  }),
  check("a new owner leaves the setgid bit of a directory", SETGID_DIRECTORY, (place) => {
    place.chown("d", 5, 6);
    assert.equal(place.mode("d"), "2777");
  }),
  check("a write by another user takes the setuid and setgid bits away", SETUID, (place) => {
    asUser(ALICE, () => writeTo(place.open("f", O_WRONLY), "x"));
    assert.deepEqual([place.mode("f"), place.read("f")], ["777", "x2345"]);
  }),
  check("a write through an open descriptor takes the bits away too", SETUID, (place) => {
    const fd = asUser(ALICE, () => place.open("f", O_WRONLY));
    place.chmod("f", 0o6777);
    asUser(ALICE, () => writeTo(fd, "x"));
    assert.equal(place.mode("f"), "777");
  }),
  check("truncating by another user takes the bits away", SETUID, (place) => {
    asUser(ALICE, () => ftruncateSync(place.open("f", O_WRONLY), 2));
    assert.deepEqual([place.mode("f"), place.read("f")], ["777", "12"]);
  }),
  check("opening with O_TRUNC by another user takes the bits away", SETUID, (place) => {
    asUser(ALICE, () => place.write("f", ""));
    assert.equal(place.mode("f"), "777");
  }),
  check("a write by root leaves the bits", SETUID, (place) => {
    place.append("f", "6");
    assert.equal(place.mode("f"), "6777");
  }),
  check("an owner outside the file's group cannot set the setgid bit", OWNED, (place) => {
    place.chown("f", ALICE.uid, 500);
    asUser(ALICE, () => place.chmod("f", 0o2755));
    assert.equal(place.mode("f"), "755");
    asUser({ ...ALICE, groups: [500] }, () => place.chmod("f", 0o2755));
    assert.equal(place.mode("f"), "2755");
  }),
  check("only the owner changes the mode", OWNED, (place) => {
    refused("EPERM", () => asUser(BOB, () => place.chmod("f", 0o777)));
    asUser(ALICE, () => place.chmod("f", 0o600));
    assert.equal(place.mode("f"), "600");
  }),
  check("only root gives a file away", OWNED, (place) => {
    refused("EPERM", () => asUser(ALICE, () => place.chown("f", BOB.uid, ALICE.gid)));
    refused("EPERM", () => asUser(BOB, () => place.chown("f", BOB.uid, BOB.gid)));
    assert.equal(place.owner("f"), `${ALICE.uid}:${ALICE.gid}`);
  }),
  check("an owner gives a file to a group of theirs only", OWNED, (place) => {
    refused("EPERM", () => asUser(ALICE, () => place.chown("f", ALICE.uid, 500)));
    asUser({ ...ALICE, groups: [500] }, () => place.chown("f", ALICE.uid, 500));
    assert.equal(place.owner("f"), `${ALICE.uid}:500`);
  }),
  check("the umask takes bits from all that is made", "", (place) => {
    process.umask(0o077);
    place.mkdir("d", 0o777);
    place.open("f", O_CREAT | O_WRONLY, 0o777);
    mknodAt(AT_FDCWD, place.path("p"), S_IFIFO | 0o777);
    assert.deepEqual([place.mode("d"), place.mode("f"), place.mode("p")], ["700", "700", "700"]);
  }),
  check("a directory is made with the sticky bit if so asked", "", (place) => {
    process.umask(0);
    place.mkdir("d", 0o1777);
    assert.equal(place.mode("d"), "1777");
  }),
  check("what is made belongs to who made it", { tree: "d/", root: true }, (place) => {
    place.chmod("d", 0o777);
    asUser(ALICE, () => {
      place.write("d/f", "1");
      place.mkdir("d/e");
      place.symlink("x", "d/l");
      mknodAt(AT_FDCWD, place.path("d/p"), S_IFIFO | 0o600);
    });
    for (const name of ["f", "e", "l", "p"]) assert.equal(place.owner(`d/${name}`), `${ALICE.uid}:${ALICE.gid}`, name);
  }),
  check("a setgid directory gives its group to what is made in it", SETGID_DIRECTORY, (place) => {
    asUser(ALICE, () => {
      place.write("d/f", "1");
      place.mkdir("d/e");
      place.symlink("x", "d/l");
    });
    for (const name of ["f", "e", "l"]) assert.equal(place.owner(`d/${name}`), `${ALICE.uid}:500`, name);
    assert.deepEqual([place.mode("d/e"), place.mode("d/f")], ["2755", "644"]);
  }),
  check(
    "a file for a group of a setgid directory loses the setgid bit unless its maker is in it",
    SETGID_DIRECTORY,
    (place) => {
      process.umask(0);
      asUser(ALICE, () => place.open("d/f", O_CREAT | O_WRONLY, 0o2775));
      asUser({ ...ALICE, groups: [500] }, () => place.open("d/g", O_CREAT | O_WRONLY, 0o2775));
      assert.deepEqual([place.mode("d/f"), place.mode("d/g")], ["775", "2775"]);
    },
  ),
  check("a renamed and a linked file keep mode and owner", OWNED, (place) => {
    place.chmod("f", 0o4751);
    place.rename("f", "g");
    place.link("g", "h");
    assert.deepEqual([place.mode("h"), place.owner("h")], ["4751", `${ALICE.uid}:${ALICE.gid}`]);
  }),
);
