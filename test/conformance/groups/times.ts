/** Which of the three times a call sets, and to what (POSIX, "File Times Update"; utimensat(2)). */

import assert from "node:assert/strict";
import { fstatSync, ftruncateSync, readdirSync } from "node:fs";
import { joinHost } from "../../../src/paths.ts";
import { copyFileRange } from "../../../src/sys/copy.ts";
import { AT_FDCWD, O_CREAT, O_WRONLY, setTimes } from "../../../src/sys/file.ts";
import { setXattr } from "../../../src/sys/xattr.ts";
import { FALLOCATE, fallocate, mapFile, type NewTime, O_RDWR, removeXattr, utimens } from "../calls.ts";
import { check, type Given, group } from "../check.ts";
import { type Place, readFrom, writeTo } from "../place.ts";

/** Longer than a tick of the clock that file systems take their times from. */
const TICK_MS = 12;
const OLD = 1_000_000_000_123_456_789n;
/** An access time that no read replaces (`relatime` in mount(8)), so that it is still there when a check looks. */
const LATER = 3_000_000_000_987_654_321n;

function tick(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TICK_MS);
}

/** Which times of `name` an action sets, after access and modification were long ago; `after` names it afterwards. */
function changed(place: Place, name: string, action: () => void, after = name): string {
  utimens(place.path(name), OLD, OLD);
  tick();
  const before = place.stat(name);
  action();
  const now = place.stat(after);
  const times = (["atimeNs", "mtimeNs", "ctimeNs"] as const).filter((time) => now[time] !== before[time]);
  return times.map((time) => time.slice(0, -2)).join(" ");
}

const TREE = "f=12345 d/x=1 d/e/ l->f";

/** A check that an action sets these times of `f`. */
function sets(what: string, expected: string, action: (place: Place) => void, given: string | Given = TREE) {
  return check(`${what} sets ${expected}`, given, (place) => {
    assert.equal(
      changed(place, "f", () => action(place)),
      expected,
    );
  });
}

/** A check that an action sets these times of the directory `d`. */
function setsAbove(what: string, expected: string, action: (place: Place) => void) {
  return check(`${what} sets ${expected} of its directory`, TREE, (place) => {
    assert.equal(
      changed(place, "d", () => action(place)),
      expected,
    );
  });
}

/** A file whose times lie in a lower layer as they are. */
const OLD_FILE: Given = {
  tree: "f=1 d/g=1",
  furnish: (layer) => {
    if (layer === undefined) return;
    for (const name of ["f", "d/g", "d"]) setTimes(AT_FDCWD, joinHost(layer, name), LATER, OLD);
  },
};

const TIMES: readonly (readonly [string, bigint])[] = [
  ["the epoch", 0n],
  ["a nanosecond before the epoch", -1n],
  ["a day of 1901", -2_147_000_000_000_000_001n],
  ["a day after 2038", 4_294_967_296_999_999_999n],
];

export const times = group(
  "times",
  sets("a write", "mtime ctime", (place) => writeTo(place.open("f", O_WRONLY), "x")),
  sets("truncating", "mtime ctime", (place) => place.truncate("f", 2)),
  sets("truncating through a descriptor", "mtime ctime", (place) => ftruncateSync(place.open("f", O_WRONLY), 9)),
  sets("opening with O_TRUNC", "mtime ctime", (place) => place.write("f", "")),
  sets("fallocate", "mtime ctime", (place) => fallocate(place.open("f", O_RDWR), FALLOCATE.allocate, 0, 9)),
  sets("copy_file_range", "mtime ctime", (place) => copyFileRange(place.open("d/x"), place.open("f", O_WRONLY), 1)),
  sets("a read", "atime", (place) => void readFrom(place.open("f"), 0)),
  sets("chmod", "ctime", (place) => place.chmod("f", 0o600)),
  sets("chown", "ctime", (place) => place.chown("f", 0, 0)),
  sets("setting an attribute", "ctime", (place) => setXattr(place.path("f"), "user.x", Buffer.from("1"))),
  sets("removing an attribute", "ctime", (place) => removeXattr(place.path("f"), "user.y"), {
    tree: TREE,
    furnish: (layer) => layer !== undefined && setXattr(joinHost(layer, "f"), "user.y", Buffer.from("1")),
  }),
  sets("a further name", "ctime", (place) => place.link("f", "g")),
  sets("utimensat", "atime mtime ctime", (place) => utimens(place.path("f"), 1n, 2n)),
  check("opening a file and looking at it sets nothing", TREE, (place) => {
    const look = (): void => void fstatSync(place.open("f"));
    assert.equal(changed(place, "f", look), "");
  }),
  check("opening a file for writing without writing sets nothing", TREE, (place) => {
    assert.equal(
      changed(place, "f", () => place.close(place.open("f", O_RDWR))),
      "",
    );
  }),
  check("a rename sets ctime", TREE, (place) => {
    assert.equal(
      changed(place, "f", () => place.rename("f", "g"), "g"),
      "ctime",
    );
  }),
  check("removing one name sets ctime of the other", TREE, (place) => {
    place.link("f", "g");
    assert.equal(
      changed(place, "f", () => place.unlink("g")),
      "ctime",
    );
  }),
  check("a write to a shared mapping sets mtime", TREE, (place) => {
    const write = (): void => {
      using mapping = mapFile(place.open("f", O_RDWR), 5, "shared");
      mapping.write(0, "x");
      mapping.sync();
    };
    assert.match(changed(place, "f", write), /mtime ctime$/);
  }),
  setsAbove("a new file", "mtime ctime", (place) => place.write("d/new", "1")),
  setsAbove("a new directory", "mtime ctime", (place) => place.mkdir("d/new")),
  setsAbove("a new symbolic link", "mtime ctime", (place) => place.symlink("x", "d/new")),
  setsAbove("a new name of a file", "mtime ctime", (place) => place.link("f", "d/new")),
  setsAbove("removing a file", "mtime ctime", (place) => place.unlink("d/x")),
  setsAbove("removing a directory", "mtime ctime", (place) => place.rmdir("d/e")),
  setsAbove("renaming out of it", "mtime ctime", (place) => place.rename("d/x", "x")),
  setsAbove("renaming into it", "mtime ctime", (place) => place.rename("f", "d/f")),
  check("listing a directory sets its atime", TREE, (place) => {
    assert.equal(
      changed(place, "d", () => void readdirSync(place.path("d"))),
      "atime",
    );
  }),
  check("a write to a file sets nothing of its directory", TREE, (place) => {
    assert.equal(
      changed(place, "d", () => place.append("d/x", "2")),
      "",
    );
  }),
  check("a mode set in a directory sets nothing of the directory", TREE, (place) => {
    assert.equal(
      changed(place, "d", () => place.chmod("d/x", 0o600)),
      "",
    );
  }),
  check("reading a symbolic link sets its atime", TREE, (place) => {
    assert.equal(
      changed(place, "l", () => void place.readlink("l")),
      "atime",
    );
  }),
  ...TIMES.map(([what, time]) =>
    check(`${what} is kept to the nanosecond`, "f=1 d/ l->f", (place) => {
      for (const name of ["f", "d", "l"]) {
        utimens(place.path(name), time, time + 1n);
        const { atimeNs, mtimeNs } = place.stat(name);
        assert.deepEqual([atimeNs, mtimeNs], [time, time + 1n], name);
      }
    }),
  ),
  check("a time that is omitted stays", OLD_FILE, (place) => {
    const set = (atime: NewTime, mtime: NewTime): readonly bigint[] => {
      utimens(place.path("f"), atime, mtime);
      return [place.stat("f").atimeNs, place.stat("f").mtimeNs];
    };
    assert.deepEqual(set("omit", 5n), [LATER, 5n]);
    assert.deepEqual(set(6n, "omit"), [6n, 5n]);
    assert.deepEqual(set("omit", "omit"), [6n, 5n]);
  }),
  check("a time that is omitted stays while the other is set to now", OLD_FILE, (place) => {
    const begun = BigInt(Date.now() - 1000) * 1_000_000n;
    utimens(place.path("f"), "now", "omit");
    assert.ok(place.stat("f").atimeNs > begun && place.stat("f").atimeNs < LATER);
    assert.equal(place.stat("f").mtimeNs, OLD);
  }),
  check("times of a layer show as they are there", OLD_FILE, (place) => {
    const shown = ["f", "d", "d/g"].map((name) => [place.stat(name).atimeNs, place.stat(name).mtimeNs]);
    assert.deepEqual(shown, Array(3).fill([LATER, OLD]));
  }),
  check("a change of mode keeps the other two times", OLD_FILE, (place) => {
    for (const name of ["f", "d", "d/g"]) {
      place.chmod(name, 0o700);
      assert.deepEqual([place.stat(name).atimeNs, place.stat(name).mtimeNs], [LATER, OLD], name);
    }
  }),
  check("a new file has the time of now", "", (place) => {
    const begun = BigInt(Date.now() - 50) * 1_000_000n;
    place.close(place.open("f", O_CREAT | O_WRONLY, 0o644));
    place.mkdir("d");
    const end = BigInt(Date.now() + 50) * 1_000_000n;
    for (const name of ["f", "d"]) {
      const { atimeNs, mtimeNs, ctimeNs } = place.stat(name);
      for (const time of [atimeNs, mtimeNs, ctimeNs]) assert.ok(time > begun && time < end, name);
    }
  }),
  check("a descriptor and a name tell the same times", OLD_FILE, (place) => {
    const fd = place.open("f", O_RDWR);
    const told = (): void => {
      const [open, named] = [fstatSync(fd, { bigint: true }), place.stat("f")];
      assert.deepEqual(
        [open.mtimeNs, open.ctimeNs, open.size],
        [named.mtimeNs, named.ctimeNs, BigInt(named.sizeBytes)],
      );
    };
    told();
    writeTo(fd, "2345");
    told();
    place.append("f", "6");
    told();
  }),
);
