/** Listings: complete, without repetition, and in step with what changes while they are read (POSIX readdir). */

import assert from "node:assert/strict";
import { type HostPath, joinHost } from "../../../src/paths.ts";
import {
  AT_FDCWD,
  linkAt,
  mknodAt,
  O_CREAT,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  S_IFCHR,
  S_IFIFO,
  S_IFSOCK,
} from "../../../src/sys/file.ts";
import { getdents, listRest, SEEK_SET, seek } from "../calls.ts";
import { check, type Given, group, refused } from "../check.ts";
import type { Place } from "../place.ts";

/** So small that a listing takes many calls. */
const SMALL_BYTES = 512;
const TYPES = { directory: 4, file: 8, symlink: 10, fifo: 1, socket: 12, character: 2 } as const;

const MANY = 120;
const many: Given = { tree: "d/file0=1", furnish: (layer) => addLinks(layer, "d/file", MANY) };

/** Further names, numbered, for the file `name`0: links cost less than files. */
function addLinks(layer: HostPath | undefined, name: string, end: number): void {
  if (layer === undefined) return;
  for (let at = 1; at < end; at++)
    linkAt(AT_FDCWD, joinHost(layer, `${name}0`), AT_FDCWD, joinHost(layer, `${name}${at}`));
}

function openDirectory(place: Place, name: string): number {
  return place.open(name, O_RDONLY | O_DIRECTORY);
}

function assertOnce(names: readonly string[]): void {
  assert.equal(new Set(names).size, names.length, "a name is listed twice");
}

export const readdir = group(
  "readdir",
  check("a merged directory lists each name once", ["d/a=1 d/b=1 d/c/", "d/b=2 d/c/ -d/a", "d/c/ d/e=3"], (place) => {
    const names = place.entries("d").map((entry) => entry.name);
    assert.deepEqual(names.sort(), [".", "..", "b", "c", "e"]);
  }),
  check("a directory whose names are all hidden lists nothing", ["d/a=1 d/b/x=1", "-d/a -d/b"], (place) => {
    assert.equal(place.names("d"), "");
  }),
  check(
    "a listing tells the type of each entry",
    {
      tree: "f=1 d/ l->f",
      root: true,
      furnish: (layer) => {
        if (layer === undefined) return;
        for (const [name, kind] of [
          ["p", S_IFIFO],
          ["s", S_IFSOCK],
          ["c", S_IFCHR],
        ] as const)
          mknodAt(AT_FDCWD, joinHost(layer, name), kind | 0o600, 1, 3);
      },
    },
    (place) => {
      const types = Object.fromEntries(place.entries().map((entry) => [entry.name, entry.type]));
      const { directory, file, symlink, fifo, socket, character } = TYPES;
      const expected = {
        ".": directory,
        "..": directory,
        f: file,
        d: directory,
        l: symlink,
        p: fifo,
        s: socket,
        c: character,
      };
      assert.deepEqual(types, expected);
    },
  ),
  check(
    "a listing tells the inode number that stat does",
    ["d/a=1 d/b=1 d/c/ d/l->x", "d/b=2 d/e/", "d/c/"],
    (place) => {
      for (const { name, ino } of place.entries("d"))
        if (name !== "..") assert.equal(ino, place.stat(`d/${name}`).ino, name);
    },
  ),
  check("dot and dot-dot have the inode numbers of the two directories", "a/b/x=1", (place) => {
    const entries = new Map(place.entries("a/b").map((entry) => [entry.name, entry.ino]));
    assert.equal(entries.get("."), place.stat("a/b").ino);
    assert.equal(entries.get(".."), place.stat("a").ino);
  }),
  check(
    "ten thousand names are listed once each, with a buffer for ten",
    {
      tree: ["d/base0=1", "", "d/top0=1"],
      furnish: (base, _, top) => {
        addLinks(base, "d/base", 300);
        addLinks(top, "d/top", 200);
      },
    },
    (place) => {
      for (let at = 0; at < 9_500; at++) place.close(place.open(`d/new${at}`, O_CREAT | O_WRONLY, 0o644));
      const names = listRest(openDirectory(place, "d"), SMALL_BYTES).map((entry) => entry.name);
      assertOnce(names);
      assert.equal(names.length, 10_002);
      for (let at = 0; at < 9_500; at++) place.unlink(`d/new${at}`);
      assert.equal(place.names("d").split(" ").length, 500);
    },
  ),
  check("names made while a directory is read disturb no other name", many, (place) => {
    const fd = openDirectory(place, "d");
    const first = getdents(fd, SMALL_BYTES);
    for (let at = 0; at < 60; at++) place.write(`d/new${at}`, "");
    const names = [...first, ...listRest(fd, SMALL_BYTES)].map((entry) => entry.name);
    assertOnce(names);
    assert.equal(names.filter((name) => name.startsWith("file")).length, MANY);
  }),
  check("names removed while a directory is read disturb no other name", many, (place) => {
    const fd = openDirectory(place, "d");
    const first = getdents(fd, SMALL_BYTES);
    for (let at = 0; at < MANY; at += 2) place.unlink(`d/file${at}`);
    const names = [...first, ...listRest(fd, SMALL_BYTES)].map((entry) => entry.name);
    assertOnce(names);
    const odd = names.filter((name) => name.startsWith("file") && Number(name.slice(4)) % 2 === 1);
    assert.equal(odd.length, MANY / 2);
  }),
  check("a directory is emptied by removing what each read of it gives", many, (place) => {
    const fd = openDirectory(place, "d");
    for (let some = getdents(fd, SMALL_BYTES); some.length > 0; some = getdents(fd, SMALL_BYTES))
      for (const { name } of some) if (!name.startsWith(".")) place.unlink(`d/${name}`);
    assert.equal(place.names("d"), "");
    place.rmdir("d");
  }),
  check("a read goes on at the place of an entry that was seen", many, (place) => {
    const fd = openDirectory(place, "d");
    const all = listRest(fd, SMALL_BYTES);
    for (const at of [0, 1, 50, 100, all.length - 2]) {
      seek(fd, all[at]?.next ?? 0n, SEEK_SET);
      const rest = listRest(fd, SMALL_BYTES).map((entry) => entry.name);
      assert.deepEqual(
        rest,
        all.slice(at + 1).map((entry) => entry.name),
        `after entry ${at}`,
      );
    }
  }),
  check("a place in a directory stays good when entries before it go", many, (place) => {
    const fd = openDirectory(place, "d");
    const all = listRest(fd, SMALL_BYTES);
    const [gone, rest] = [all.slice(0, 60), all.slice(60)];
    for (const { name } of gone) if (!name.startsWith(".")) place.unlink(`d/${name}`);
    seek(fd, all[59]?.next ?? 0n, SEEK_SET);
    const names = listRest(fd, SMALL_BYTES).map((entry) => entry.name);
    for (const { name } of rest) assert.ok(names.includes(name), `${name} is not listed`);
    assertOnce(names);
  }),
  check("an open directory shows what has changed when it is read from the start again", "d/a=1 d/b=1", (place) => {
    const fd = openDirectory(place, "d");
    listRest(fd);
    place.unlink("d/a");
    place.write("d/c", "1");
    seek(fd, 0, SEEK_SET);
    const names = listRest(fd).map((entry) => entry.name);
    assert.deepEqual(names.sort(), [".", "..", "b", "c"]);
  }),
  check("a second listing shows a change at once", ["d/a=1", "d/b=2"], (place) => {
    assert.equal(place.names("d"), "a b");
    place.unlink("d/a");
    assert.equal(place.names("d"), "b");
    place.mkdir("d/a");
    assert.equal(place.names("d"), "a b");
    place.rename("d/b", "d/c");
    assert.equal(place.names("d"), "a c");
  }),
  check("an open directory that is removed lists nothing", "d/", (place) => {
    const fd = openDirectory(place, "d");
    place.rmdir("d");
    assert.deepEqual(
      emptyOrGone(() => getdents(fd)),
      [],
    );
  }),
  check("two descriptors read one directory each at its own place", many, (place) => {
    const [one, two] = [openDirectory(place, "d"), openDirectory(place, "d")];
    getdents(one, SMALL_BYTES);
    assert.equal(listRest(two, SMALL_BYTES).length, MANY + 2);
    assert.ok(listRest(one, SMALL_BYTES).length < MANY + 2);
  }),
  check("a buffer too small for one entry is refused", "d/a-rather-long-name-of-a-file=1", (place) => {
    refused("EINVAL", () => getdents(openDirectory(place, "d"), 16));
  }),
  check("what is not a directory, or was opened for its path only, is not listed", "f=1 d/", (place) => {
    refused("ENOTDIR", () => getdents(place.open("f")));
    refused("EBADF", () => getdents(place.open("d", O_PATH)));
  }),
);

/** Linux tells ENOENT for a directory that is gone, or lists nothing. */
function emptyOrGone(list: () => readonly { readonly name: string }[]): readonly string[] {
  try {
    return list()
      .map((entry) => entry.name)
      .filter((name) => !name.startsWith("."));
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ENOENT");
    return [];
  }
}
