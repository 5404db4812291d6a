/** Symbolic links, fifos, sockets and devices. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { lstatSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { joinHost } from "../../../src/paths.ts";
import {
  AT_FDCWD,
  mknodAt,
  O_RDONLY,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFREG,
  S_IFSOCK,
} from "../../../src/sys/file.ts";
import { O_NONBLOCK, O_RDWR, utimens } from "../calls.ts";
import { check, type Given, group, refused } from "../check.ts";
import { kindOf, readFrom, writeTo } from "../place.ts";

const FIFO: Given = {
  tree: "d/",
  furnish: (layer) => layer !== undefined && mknodAt(AT_FDCWD, joinHost(layer, "d/p"), S_IFIFO | 0o600),
};
const DEVICES: Given = {
  tree: "d/",
  root: true,
  furnish: (layer) => {
    if (layer === undefined) return;
    mknodAt(AT_FDCWD, joinHost(layer, "d/null"), S_IFCHR | 0o666, 1, 3);
    mknodAt(AT_FDCWD, joinHost(layer, "d/big"), S_IFBLK | 0o600, 259, 70_000);
  },
};

export const special = group(
  "special",
  check("a symbolic link holds what it was given, byte for byte", "d/", (place) => {
    for (const [index, target] of ["x", "/", "../..", "a//b/.", "with space", "\xff\xfe", "x".repeat(1000)].entries()) {
      place.symlink(target, `d/l${index}`);
      assert.equal(place.readlink(`d/l${index}`), target);
      assert.equal(place.stat(`d/l${index}`).sizeBytes, target.length);
    }
  }),
  check("a symbolic link's target is at most 4,095 bytes, and not empty", "", (place) => {
    place.symlink("x".repeat(4095), "l");
    assert.equal(place.readlink("l").length, 4095);
    refused("ENAMETOOLONG", () => place.symlink("x".repeat(4096), "m"));
    refused("ENOENT", () => place.symlink("", "m"));
  }),
  check("a symbolic link is not made over a name, and has all permissions", "f=1 l->x", (place) => {
    for (const name of ["f", "l"]) refused("EEXIST", () => place.symlink("y", name));
    assert.deepEqual([place.readlink("l"), place.mode("l")], ["x", "777"]);
  }),
  check("a symbolic link is followed within the tree", "d/f=1 l->d m->l/f up->d/../d/f", (place) => {
    assert.deepEqual([place.read("l/f"), place.read("m"), place.read("up")], ["1", "1", "1"]);
    place.write("m", "2");
    assert.equal(place.read("d/f"), "2");
  }),
  check("an absolute symbolic link is followed from the root of the machine", "d/f=1", (place) => {
    place.symlink(place.path("d/f"), "l");
    assert.equal(place.read("l"), "1");
  }),
  check("a symbolic link has times and an owner of its own", { tree: "l->f f=1", root: true }, (place) => {
    const before = place.stat("f").mtimeNs;
    utimens(place.path("l"), 5n, 6_000_000_007n);
    place.chown("l", 11, 12);
    assert.deepEqual([place.stat("l").mtimeNs, place.owner("l")], [6_000_000_007n, "11:12"]);
    assert.deepEqual([place.stat("f").mtimeNs, place.owner("f"), place.readlink("l")], [before, "0:0", "f"]);
  }),
  check("only a symbolic link is read as one", "f=1 d/", (place) => {
    for (const name of ["f", "d"]) refused("EINVAL", () => place.readlink(name));
  }),
  check("a fifo passes on what is written", FIFO, (place) => {
    const fd = place.open("d/p", O_RDWR | O_NONBLOCK);
    writeTo(fd, "through");
    assert.equal(readFrom(fd, null), "through");
    assert.equal(place.stat("d/p").sizeBytes, 0);
  }),
  check("a fifo joins two descriptors", FIFO, (place) => {
    const reader = place.open("d/p", O_RDONLY | O_NONBLOCK);
    const writer = place.open("d/p", O_WRONLY | O_NONBLOCK);
    writeTo(writer, "1");
    assert.equal(readFrom(reader, null), "1");
    place.close(writer);
    assert.equal(readFrom(reader, null), "");
  }),
  check("a fifo has its mode, is renamed and removed", FIFO, (place) => {
    place.chmod("d/p", 0o640);
    place.rename("d/p", "q");
    assert.deepEqual([place.mode("q"), lstatSync(place.path("q")).isFIFO()], ["640", true]);
    place.unlink("q");
    assert.equal(place.tree(), "d/");
  }),
  check("a socket is bound, connected to and removed", "d/", async (place) => {
    const server = createServer((socket) => socket.end("hello"));
    // By a short path: the address of a socket has room for 107 bytes.
    process.chdir(place.path("d"));
    try {
      server.listen("s");
      await once(server, "listening");
      assert.ok(statSync(place.path("d/s")).isSocket());
      const client = connect("s");
      const [bytes] = (await once(client, "data")) as [Buffer];
      assert.equal(bytes.toString(), "hello");
      client.destroy();
    } finally {
      server.close();
      process.chdir("/");
    }
    assert.equal(place.names("d"), "");
  }),
  check(
    "a socket that nobody listens on refuses",
    {
      tree: "d/",
      furnish: (layer) => layer !== undefined && mknodAt(AT_FDCWD, joinHost(layer, "d/s"), S_IFSOCK | 0o755),
    },
    async (place) => {
      process.chdir(place.path("d"));
      try {
        const [error] = (await once(connect("s"), "error")) as [{ code: string }];
        assert.equal(error.code, "ECONNREFUSED");
      } finally {
        process.chdir("/");
      }
      refused("ENXIO", () => place.open("d/s", O_RDONLY));
    },
  ),
  check("devices keep their numbers", DEVICES, (place) => {
    const [chr, blk] = [place.stat("d/null"), place.stat("d/big")];
    assert.deepEqual([chr.rdevMajor, chr.rdevMinor, blk.rdevMajor, blk.rdevMinor], [1, 3, 259, 70_000]);
    assert.deepEqual([chr.mode & 0o170000, blk.mode & 0o170000], [S_IFCHR, S_IFBLK]);
    place.chmod("d/null", 0o600);
    place.rename("d/null", "null");
    assert.deepEqual([place.stat("null").rdevMinor, place.mode("null")], [3, "600"]);
  }),
  check("a device is opened", DEVICES, (place) => {
    const fd = place.open("d/null", O_RDWR);
    writeTo(fd, "into nothing");
    assert.equal(readFrom(fd, null), "");
  }),
  check("a device 0:0 is a device as any other", { tree: "d/", root: true }, (place) => {
    mknodAt(AT_FDCWD, place.path("d/zero"), S_IFCHR | 0o600, 0, 0);
    assert.equal(place.names("d"), "zero");
    place.unlink("d/zero");
  }),
  check("mknod makes a regular file, and nothing over a name", "f=1", (place) => {
    mknodAt(AT_FDCWD, place.path("n"), S_IFREG | 0o640);
    assert.deepEqual([kindOf(place.path("n"), false), place.mode("n")], ["file", "640"]);
    refused("EEXIST", () => mknodAt(AT_FDCWD, place.path("f"), S_IFIFO | 0o600));
  }),
);
