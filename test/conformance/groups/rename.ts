/** rename(2) and renameat2(2): every pair of types, every flag, and directories of every origin. */

import assert from "node:assert/strict";
import { fstatSync } from "node:fs";
import { joinHost } from "../../../src/paths.ts";
import { AT_FDCWD, linkAt, O_DIRECTORY, O_RDONLY, openAt, RENAME_NOREPLACE } from "../../../src/sys/file.ts";
import { statAt } from "../../../src/sys/stat.ts";
import { O_RDWR, RENAME_EXCHANGE, RENAME_WHITEOUT } from "../calls.ts";
import { type Check, check, group, refused } from "../check.ts";
import { readFrom, writeTo } from "../place.ts";

const SOURCES = { file: "a=1", symlink: "a->x", "directory with a file": "a/x=1", "empty directory": "a/" } as const;
const TARGETS = {
  nothing: "",
  file: "b=2",
  symlink: "b->y",
  "directory with a file": "b/y=2",
  "empty directory": "b/",
} as const;

/** What POSIX says of a pair: null for success. */
function refusalOf(source: keyof typeof SOURCES, target: keyof typeof TARGETS): string | null {
  if (target === "nothing") return null;
  const [fromDirectory, toDirectory] = [source.includes("directory"), target.includes("directory")];
  if (fromDirectory && !toDirectory) return "ENOTDIR";
  if (!fromDirectory && toDirectory) return "EISDIR";
  return target === "directory with a file" ? "ENOTEMPTY" : null;
}

function pairs(): readonly (readonly Check[])[] {
  return Object.entries(SOURCES).flatMap(([source, from]) =>
    Object.entries(TARGETS).map(([target, to]) => {
      const refusal = refusalOf(source as keyof typeof SOURCES, target as keyof typeof TARGETS);
      const name = `${source} to ${target}: ${refusal ?? "renamed"}`;
      return check(name, `${from} ${to}`.trim(), (place) => {
        const before = place.tree();
        if (refusal !== null) {
          refused(refusal, () => place.rename("a", "b"));
          assert.equal(place.tree(), before);
          return;
        }
        place.rename("a", "b");
        refused("ENOENT", () => place.stat("a"));
        assert.equal(place.tree(), from === "a/x=1" ? "b/ b/x=1" : from.replace("a", "b"));
      });
    }),
  );
}

const linked = {
  tree: "a=1",
  furnish: (layer?: Parameters<typeof joinHost>[0]) =>
    layer !== undefined && linkAt(AT_FDCWD, joinHost(layer, "a"), AT_FDCWD, joinHost(layer, "b")),
} as const;

export const rename = group(
  "rename",
  ...pairs(),
  check("a file renamed to its own name stays", "a=1", (place) => {
    place.rename("a", "a");
    assert.equal(place.tree(), "a=1");
  }),
  check("a directory renamed to its own name stays", "d/x=1", (place) => {
    place.rename("d", "d");
    assert.equal(place.tree(), "d/ d/x=1");
  }),
  check("one name of a file renamed to another name of it changes nothing", linked, (place) => {
    place.rename("a", "b");
    assert.equal(place.tree(), "a=1 b=1");
  }),
  check("a directory is not renamed into itself", "d/e/", (place) => {
    refused("EINVAL", () => place.rename("d", "d/e/f"));
    refused("EINVAL", () => place.rename("d", "d/x"));
    refused("ENOTEMPTY", () => place.rename("d/e", "d"));
    assert.equal(place.tree(), "d/ d/e/");
  }),
  check("what is not there is not renamed", "a=1", (place) => {
    refused("ENOENT", () => place.rename("nothing", "b"));
    refused("ENOENT", () => place.rename("a", "nothing/b"));
    refused("ENOTDIR", () => place.rename("a", "a/b"));
    assert.equal(place.tree(), "a=1");
  }),
  check("NOREPLACE refuses a name that is there", "a=1 b=2 d/ l->x", (place) => {
    for (const name of ["b", "d", "l"]) refused("EEXIST", () => place.rename("a", name, RENAME_NOREPLACE));
    assert.equal(place.tree(), "a=1 b=2 d/ l->x");
    place.rename("a", "c", RENAME_NOREPLACE);
    assert.equal(place.tree(), "b=2 c=1 d/ l->x");
  }),
  check("NOREPLACE takes a name that a whiteout hides", ["a=1 b=2 c=3", "-b"], (place) => {
    place.unlink("c");
    place.rename("a", "b", RENAME_NOREPLACE);
    place.rename("b", "c", RENAME_NOREPLACE);
    assert.equal(place.tree(), "c=1");
  }),
  check("EXCHANGE swaps two files", "a=1 d/b=2", (place) => {
    const [a, b] = [place.stat("a").ino, place.stat("d/b").ino];
    place.rename("a", "d/b", RENAME_EXCHANGE);
    assert.equal(place.tree(), "a=2 d/ d/b=1");
    assert.deepEqual([place.stat("a").ino, place.stat("d/b").ino], [b, a]);
  }),
  check("EXCHANGE swaps a file and a symbolic link", "a=1 l->a", (place) => {
    place.rename("a", "l", RENAME_EXCHANGE);
    assert.equal(place.tree(), "a->a l=1");
  }),
  check("EXCHANGE swaps a file and a directory", "a=1 d/x=2", (place) => {
    place.rename("a", "d", RENAME_EXCHANGE);
    assert.equal(place.tree(), "a/ a/x=2 d=1");
  }),
  check("EXCHANGE swaps two directories", "d/x=1 e/y=2", (place) => {
    place.rename("d", "e", RENAME_EXCHANGE);
    assert.equal(place.tree(), "d/ d/y=2 e/ e/x=1");
  }),
  check("EXCHANGE needs both, and goes with no other flag", "a=1 b=2", (place) => {
    refused("ENOENT", () => place.rename("a", "nothing", RENAME_EXCHANGE));
    refused("EINVAL", () => place.rename("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
    refused("EINVAL", () => place.rename("a", "b", 1 << 8));
    assert.equal(place.tree(), "a=1 b=2");
  }),
  check("WHITEOUT leaves a device 0:0 under the old name", { tree: "a=1", root: true }, (place) => {
    place.rename("a", "b", RENAME_WHITEOUT);
    assert.equal(place.tree(), "-a b=1");
  }),
  check("a file keeps its inode number, an open descriptor keeps the file", "a=1 b=2", (place) => {
    const [fd, ino] = [place.open("a", O_RDWR), place.stat("a").ino];
    place.rename("a", "b");
    assert.equal(place.stat("b").ino, ino);
    writeTo(fd, "3");
    assert.equal(place.read("b"), "3");
  }),
  check("a replaced file that is open is still read", "a=1 b=2", (place) => {
    const fd = place.open("b");
    place.rename("a", "b");
    assert.equal(readFrom(fd, 0), "2");
    assert.equal(fstatSync(fd).nlink, 0);
  }),
  check("an old name is free again, and shows nothing of before", "a=1", (place) => {
    place.rename("a", "b");
    place.mkdir("a");
    assert.equal(place.tree(), "a/ b=1");
    place.rmdir("a");
    place.rename("b", "a");
    assert.equal(place.tree(), "a=1");
  }),
  check("a file is renamed along a chain and back", "a=1 d/ e/f/", (place) => {
    for (const [from, to] of [
      ["a", "d/b"],
      ["d/b", "e/f/c"],
      ["e/f/c", "e/a"],
      ["e/a", "a"],
    ] as const)
      place.rename(from, to);
    assert.equal(place.tree(), "a=1 d/ e/ e/f/");
  }),
  check("a directory takes everything in it along", "d/x=1 d/e/f/y=2 d/l->x to/", (place) => {
    const ino = place.stat("d").ino;
    place.rename("d", "to/d");
    assert.equal(place.tree(), "to/ to/d/ to/d/e/ to/d/e/f/ to/d/e/f/y=2 to/d/l->x to/d/x=1");
    assert.equal(place.stat("to/d").ino, ino);
  }),
  check(
    "a merged directory takes the names of all its layers along",
    ["d/x=1 d/gone=1", "d/y=2 -d/gone", "d/z=3"],
    (place) => {
      place.rename("d", "e");
      assert.equal(place.tree(), "e/ e/x=1 e/y=2 e/z=3");
    },
  ),
  check("a changed directory of a lower layer is renamed with its changes", ["d/x=1 d/y=2"], (place) => {
    place.write("d/new", "3");
    place.unlink("d/x");
    place.rename("d", "e");
    assert.equal(place.tree(), "e/ e/new=3 e/y=2");
  }),
  check(
    "a new directory takes the name of a removed one and hides its children",
    ["d/x=1 d/e/y=2", "d/z=3"],
    (place) => {
      for (const name of ["d/x", "d/z", "d/e/y"]) place.unlink(name);
      place.rmdir("d/e");
      place.rmdir("d");
      place.mkdir("new");
      place.write("new/n", "1");
      place.rename("new", "d");
      assert.equal(place.tree(), "d/ d/n=1");
      refused("ENOENT", () => place.stat("d/x"));
    },
  ),
  check("a new directory replaces an emptied one and hides its children", ["d/x=1 d/e/y=2", "d/z=3 -d/e"], (place) => {
    for (const name of ["d/x", "d/z"]) place.unlink(name);
    place.mkdir("new");
    place.write("new/n", "1");
    place.rename("new", "d");
    assert.equal(place.tree(), "d/ d/n=1");
    place.write("d/x", "again");
    assert.equal(place.tree(), "d/ d/n=1 d/x=again");
  }),
  check("a file replaces a lower file that is then removed, and nothing comes back", ["a=1 b=2", "b=3"], (place) => {
    place.rename("a", "b");
    place.unlink("b");
    assert.equal(place.tree(), "");
  }),
  check("dot-dot of a moved directory is the new one above it", "to/", (place) => {
    place.mkdir("d");
    const fd = place.open("d", O_RDONLY | O_DIRECTORY);
    place.rename("d", "to/d");
    assert.equal(statAt(fd, "..").ino, place.stat("to").ino);
    assert.equal(place.stat("to/d/..").ino, place.stat("to").ino);
  }),
  check("a descriptor of a moved directory still opens what is in it", "d/x=1", (place) => {
    place.mkdir("n");
    place.write("n/f", "1");
    const fd = place.open("n", O_RDONLY | O_DIRECTORY);
    place.rename("n", "m");
    const file = openAt(fd, "f", O_RDONLY);
    assert.equal(readFrom(file, 0), "1");
    place.close(file);
  }),
  check("dot and dot-dot are not renamed", "d/e/", (place) => {
    refused("EBUSY", () => place.rename("d/.", "x"));
    refused("EBUSY", () => place.rename("d/e/..", "x"));
    refused("EBUSY", () => place.rename("d/e", "d/."));
  }),
  check("a slash at the end is for directories", "a=1 d/", (place) => {
    refused("ENOTDIR", () => place.rename("a/", "b"));
    refused("ENOTDIR", () => place.rename("a", "b/"));
    place.mkdir("n");
    place.rename("n/", "m/");
    assert.equal(place.tree(), "a=1 d/ m/");
  }),
  check("a file is renamed over a hundred times between two directories", "d/a=1 e/", (place) => {
    for (let at = 0; at < 50; at++) {
      place.rename("d/a", "e/a");
      place.rename("e/a", "d/a");
    }
    assert.equal(place.tree(), "d/ d/a=1 e/");
  }),
);
