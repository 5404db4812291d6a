/** A lower file that is changed: it is the file that it was, but for the change, and nothing around it moves. */

import assert from "node:assert/strict";
import { fstatSync } from "node:fs";
import { type HostPath, joinHost } from "../../../src/paths.ts";
import { dataExtents } from "../../../src/sys/copy.ts";
import {
  AT_FDCWD,
  chmod,
  chown,
  close,
  mknodAt,
  O_RDONLY,
  O_WRONLY,
  openAt,
  S_IFIFO,
  setTimes,
  truncate,
  writeAllAt,
} from "../../../src/sys/file.ts";
import { getXattr, setXattr } from "../../../src/sys/xattr.ts";
import { mapFile, O_APPEND, O_RDWR } from "../calls.ts";
import { check, type Given, group } from "../check.ts";
import { startPeer } from "../peer.ts";
import { type Place, readFrom, writeTo } from "../place.ts";

const MIB = 1 << 20;
const [ATIME, MTIME] = [3_000_000_000_000_000_005n, 1_234_567_890_123_456_789n];

/** A file with everything that a file can have, below two directories with attributes of their own. */
const RICH: Given = {
  tree: "d/e/f=12345",
  root: true,
  furnish: (layer) => {
    if (layer === undefined) return;
    for (const [name, uid, gid, mode] of [
      ["d/e/f", 11, 12, 0o4751],
      ["d/e", 13, 14, 0o2755],
      ["d", 15, 16, 0o1777],
    ] as const) {
      const path = joinHost(layer, name);
      chown(AT_FDCWD, path, uid, gid);
      chmod(AT_FDCWD, path, mode);
      setXattr(path, "user.x", Buffer.from(name));
      setXattr(path, "trusted.y", Buffer.from(`${name}!`));
      setTimes(AT_FDCWD, path, ATIME, MTIME);
    }
  },
};

function metadata(place: Place, name: string): string {
  const { atimeNs, mtimeNs } = place.stat(name);
  const attributes = ["user.x", "trusted.y"].map((each) => getXattr(place.path(name), each)?.toString());
  return [place.mode(name), place.owner(name), atimeNs, mtimeNs, ...attributes].join(" ");
}

/** A file of sixteen megabytes that is holes but for two pieces. */
function writeSparse(layer: HostPath | undefined): void {
  if (layer === undefined) return;
  const fd = openAt(AT_FDCWD, joinHost(layer, "f"), O_WRONLY);
  writeAllAt(fd, Buffer.alloc(4096, 1), MIB);
  writeAllAt(fd, Buffer.alloc(4096, 2), 8 * MIB);
  truncate(fd, 16 * MIB);
  close(fd);
}

const LARGE = 3 * MIB + 17;
const large: Given = {
  tree: "f=",
  furnish: (layer) => {
    if (layer === undefined) return;
    const fd = openAt(AT_FDCWD, joinHost(layer, "f"), O_WRONLY);
    writeAllAt(fd, Buffer.alloc(LARGE, "0123456"), 0);
    close(fd);
  },
};

export const copyUp = group(
  "copy-up",
  check("a file keeps all its attributes when it is opened for writing", RICH, (place) => {
    const before = metadata(place, "d/e/f");
    place.close(place.open("d/e/f", O_RDWR));
    assert.equal(metadata(place, "d/e/f"), before);
  }),
  check("the directories above a changed file keep theirs", RICH, (place) => {
    const before = ["d/e", "d"].map((name) => metadata(place, name));
    place.append("d/e/f", "6");
    assert.deepEqual(
      ["d/e", "d"].map((name) => metadata(place, name)),
      before,
    );
  }),
  check("a directory keeps all its attributes when something is made below it", RICH, (place) => {
    const before = metadata(place, "d");
    place.write("d/e/new", "1");
    assert.equal(metadata(place, "d"), before);
  }),
  check("a renamed and a linked file keep all their attributes", RICH, (place) => {
    const before = metadata(place, "d/e/f");
    place.link("d/e/f", "g");
    place.rename("d/e/f", "h");
    assert.deepEqual([metadata(place, "g"), metadata(place, "h")], [before, before]);
  }),
  check("a file of three megabytes keeps its content", large, (place) => {
    writeAllAt(place.open("f", O_WRONLY), Buffer.from("x"), MIB);
    const expected = Buffer.alloc(LARGE, "0123456");
    expected[MIB] = 0x78;
    assert.ok(Buffer.from(place.read("f"), "latin1").equals(expected));
  }),
  check("a file that is cut short or grows keeps what is left", large, (place) => {
    place.truncate("f", MIB + 1);
    assert.ok(place.read("f") === Buffer.alloc(MIB + 1, "0123456").toString());
    place.truncate("f", MIB + 3);
    assert.equal(
      place.read("f").slice(MIB - 1),
      `${Buffer.alloc(MIB + 1, "0123456")
        .toString()
        .slice(-2)}\0\0`,
    );
  }),
  check("the holes of a sparse file stay holes", { tree: "f=", furnish: writeSparse }, (place) => {
    place.chmod("f", 0o600);
    const fd = place.open("f", O_RDWR);
    const pieces = [
      [MIB, MIB + 4096],
      [8 * MIB, 8 * MIB + 4096],
    ];
    assert.deepEqual(dataExtents(fd, 16 * MIB), pieces);
    assert.ok(place.stat("f").blocks512 <= 32, `${place.stat("f").blocks512} blocks`);
  }),
  check(
    "a symbolic link and a fifo are given to another user",
    {
      tree: "l->x d/",
      root: true,
      furnish: (layer) => layer !== undefined && mknodAt(AT_FDCWD, joinHost(layer, "d/p"), S_IFIFO | 0o640),
    },
    (place) => {
      for (const name of ["l", "d/p"]) place.chown(name, 5, 6);
      assert.deepEqual(
        [place.owner("l"), place.readlink("l"), place.owner("d/p"), place.mode("d/p")],
        ["5:6", "x", "5:6", "640"],
      );
    },
  ),
  check("a file below ten directories is changed", "a/b/c/d/e/f/g/h/i/j/x=1 a/b/y=1", (place) => {
    place.append("a/b/c/d/e/f/g/h/i/j/x", "2");
    assert.equal(place.read("a/b/c/d/e/f/g/h/i/j/x"), "12");
    assert.equal(place.read("a/b/y"), "1");
  }),
  check(
    "the topmost of three files is the one that is changed",
    ["f=base d/x=1", "f=middle d/y=2", "f=top d/z=3"],
    (place) => {
      place.append("f", "!");
      place.append("d/x", "!");
      assert.equal(place.tree(), "d/ d/x=1! d/y=2 d/z=3 f=top!");
    },
  ),
  check("a descriptor opened for reading is of the same file after a write by another", "f=12345", (place) => {
    const fd = place.open("f", O_RDONLY);
    assert.equal(readFrom(fd, null, 2), "12");
    place.append("f", "67");
    assert.equal(readFrom(fd, null), "34567");
    assert.equal(fstatSync(fd).size, 7);
    place.truncate("f", 1);
    assert.equal(readFrom(fd, 0), "1");
  }),
  check("a mapping made before a write by another shows it", "f=12345", (place) => {
    using mapping = mapFile(place.open("f", O_RDONLY), 5, "read");
    assert.equal(mapping.read(0, 5), "12345");
    writeTo(place.open("f", O_RDWR), "ab");
    assert.equal(mapping.read(0, 5), "ab345");
  }),
  check("many descriptors opened for reading all show a write by another", "f=1", (place) => {
    const readers = Array.from({ length: 20 }, () => place.open("f", O_RDONLY));
    place.append("f", "2");
    place.chmod("f", 0o600);
    for (const fd of readers) assert.deepEqual([readFrom(fd, 0), fstatSync(fd).mode & 0o777], ["12", 0o600]);
  }),
  check("two processes that append at the same time lose nothing", "f=", async (place) => {
    await using one = startPeer();
    await using two = startPeer();
    const append = { do: "append", path: place.path("f"), times: 200 } as const;
    await Promise.all([one.tell({ ...append, text: "a" }), two.tell({ ...append, text: "b" })]);
    const content = place.read("f");
    assert.deepEqual([content.length, content.replaceAll("a", "").length], [400, 200]);
  }),
  check(
    "two processes that write first to many files lose nothing",
    {
      tree: "d/",
      furnish: (layer) => {
        for (let at = 0; layer !== undefined && at < 50; at++)
          close(openAt(AT_FDCWD, joinHost(layer, "d", `f${at}`), 0o101, 0o644));
      },
    },
    async (place) => {
      await using one = startPeer();
      await using two = startPeer();
      const both = async (name: string): Promise<void> => {
        const append = { do: "append", path: place.path(name), times: 1 } as const;
        await Promise.all([one.tell({ ...append, text: "a" }), two.tell({ ...append, text: "b" })]);
      };
      for (let at = 0; at < 50; at++) await both(`d/f${at}`);
      for (let at = 0; at < 50; at++) assert.equal([...place.read(`d/f${at}`)].sort().join(""), "ab");
    },
  ),
  check("an append after a read by the same descriptor goes to the end", "f=12345", (place) => {
    const fd = place.open("f", O_RDWR | O_APPEND);
    assert.equal(readFrom(fd, null, 2), "12");
    writeTo(fd, "6");
    assert.equal(place.read("f"), "123456");
  }),
);
