/** open(2): what its flags make, refuse, and leave alone. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, fchmodSync, fstatSync, readSync, writeSync } from "node:fs";
import * as file from "../../../src/sys/file.ts";
import { linkOpenFile, O_APPEND, O_NONBLOCK, O_RDWR, O_TMPFILE } from "../calls.ts";
import { check, group, refused } from "../check.ts";
import { readFrom, writeTo } from "../place.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_RDONLY, O_TRUNC, O_WRONLY } = file;

export const open = group(
  "open",
  check("O_EXCL refuses a name that is there, whatever it is", "f=1 d/ l->nowhere", (place) => {
    for (const name of ["f", "d", "l"]) refused("EEXIST", () => place.open(name, O_CREAT | O_EXCL | O_WRONLY, 0o644));
    assert.equal(place.tree(), "d/ f=1 l->nowhere");
  }),
  check("O_EXCL makes a name that a whiteout hides", ["f=1 d/x=1", "-f -d"], (place) => {
    for (const name of ["f", "d"]) place.open(name, O_CREAT | O_EXCL | O_WRONLY, 0o644);
    assert.equal(place.tree(), "d= f=");
  }),
  check("O_CREAT opens what is there and leaves its mode", "f=1", (place) => {
    place.chmod("f", 0o600);
    assert.equal(readFrom(place.open("f", O_CREAT | O_RDWR, 0o777), 0), "1");
    assert.equal(place.mode("f"), "600");
  }),
  check("O_CREAT through a dangling symbolic link makes its target", "l->d/target d/", (place) => {
    writeTo(place.open("l", O_CREAT | O_WRONLY, 0o644), "1");
    assert.equal(place.tree(), "d/ d/target=1 l->d/target");
  }),
  check("O_CREAT needs the directory", "f=1", (place) => {
    refused("ENOENT", () => place.open("d/new", O_CREAT | O_WRONLY, 0o644));
    refused("ENOTDIR", () => place.open("f/new", O_CREAT | O_WRONLY, 0o644));
  }),
  check("O_TRUNC empties a file", "f=12345", (place) => {
    const before = place.stat("f").ino;
    place.close(place.open("f", O_WRONLY | O_TRUNC));
    assert.equal(place.stat("f").sizeBytes, 0);
    assert.equal(place.stat("f").ino, before);
  }),
  check("O_APPEND writes at the end, wherever the position is", "f=12", (place) => {
    const fd = place.open("f", O_RDWR | O_APPEND);
    assert.equal(readFrom(fd, null, 1), "1");
    writeTo(fd, "34");
    place.append("f", "5");
    writeTo(fd, "6");
    assert.equal(place.read("f"), "123456");
  }),
  check("O_DIRECTORY refuses what is not a directory", "f=1 d/ l->d", (place) => {
    refused("ENOTDIR", () => place.open("f", O_DIRECTORY));
    place.open("d", O_DIRECTORY);
    place.open("l", O_DIRECTORY);
  }),
  check("O_NOFOLLOW refuses a symbolic link at the end of a path only", "l->d d/f=1", (place) => {
    refused("ELOOP", () => place.open("l", O_NOFOLLOW));
    place.open("l/f", O_NOFOLLOW);
  }),
  check("O_PATH gives a descriptor that is neither read nor written", "f=1", (place) => {
    const fd = place.open("f", O_PATH);
    assert.equal(fstatSync(fd).size, 1);
    refused("EBADF", () => readFrom(fd, 0));
    refused("EBADF", () => fchmodSync(fd, 0o600));
  }),
  check("O_PATH with O_NOFOLLOW names a symbolic link itself", "l->nowhere", (place) => {
    const fd = place.open("l", O_PATH | O_NOFOLLOW);
    assert.ok(fstatSync(fd).isSymbolicLink());
    assert.equal(file.readlinkAt(fd, ""), "nowhere");
  }),
  check("a descriptor of O_PATH opens the file once more for reading and writing", "f=1", (place) => {
    const fd = place.open("f", O_PATH);
    const again = file.openAt(file.AT_FDCWD, `/proc/self/fd/${fd}`, O_WRONLY | O_APPEND);
    writeTo(again, "2");
    file.close(again);
    assert.equal(place.read("f"), "12");
  }),
  check("O_TMPFILE makes a file without a name, which link gives it", "d/", (place) => {
    const fd = place.open("d", O_TMPFILE | O_RDWR, 0o640);
    writeTo(fd, "nameless");
    assert.deepEqual([place.names("d"), fstatSync(fd).nlink], ["", 0]);
    linkOpenFile(fd, place.path("d/f"));
    assert.deepEqual([place.read("d/f"), place.mode("d/f"), fstatSync(fd).nlink], ["nameless", "640", 1]);
    assert.equal(place.stat("d/f").ino, BigInt(fstatSync(fd, { bigint: true }).ino));
  }),
  check("O_TMPFILE with O_EXCL makes a file that never gets a name", "d/", (place) => {
    const fd = place.open("d", O_TMPFILE | O_EXCL | O_RDWR, 0o600);
    writeTo(fd, "1");
    refused("ENOENT", () => linkOpenFile(fd, place.path("d/f")));
  }),
  check("a directory is not opened for writing", "d/", (place) => {
    refused("EISDIR", () => place.open("d", O_WRONLY));
    refused("EISDIR", () => place.open("d", O_RDWR));
    refused("EISDIR", () => place.open("d", O_CREAT, 0o644));
  }),
  check("a new file's mode is what is asked for without the umask", "", (place) => {
    process.umask(0o027);
    place.open("f", O_CREAT | O_WRONLY, 0o666);
    place.open("s", O_CREAT | O_WRONLY, 0o4777);
    process.umask(0);
    place.open("all", O_CREAT | O_WRONLY, 0o666);
    assert.deepEqual([place.mode("f"), place.mode("s"), place.mode("all")], ["640", "4750", "666"]);
  }),
  check("a file made without any permission is written through the descriptor that made it", "", (place) => {
    const fd = place.open("f", O_CREAT | O_RDWR, 0);
    writeTo(fd, "1");
    assert.deepEqual([readFrom(fd, 0), place.mode("f")], ["1", "0"]);
  }),
  check("a descriptor for reading is not written to, one for writing is not read from", "f=1", (place) => {
    refused("EBADF", () => writeSync(place.open("f", O_RDONLY), "x"));
    refused("EBADF", () => readSync(place.open("f", O_WRONLY), Buffer.alloc(1)));
  }),
  check("a fifo without a reader is not opened for writing without waiting", "d/", (place) => {
    file.mknodAt(file.AT_FDCWD, place.path("d/p"), file.S_IFIFO | 0o600);
    refused("ENXIO", () => place.open("d/p", O_WRONLY | O_NONBLOCK));
  }),
  check("a program and a script are executed", "d/", (place) => {
    copyFileSync("/bin/true", place.path("d/program"));
    place.write("d/script", "#!/bin/sh\nexit 7\n");
    place.chmod("d/script", 0o755);
    assert.equal(spawnSync(place.path("d/program")).status, 0);
    assert.equal(spawnSync(place.path("d/script")).status, 7);
  }),
  check("a program that runs is not opened for writing", "d/", async (place) => {
    copyFileSync("/bin/sleep", place.path("d/program"));
    const child = spawn(place.path("d/program"), ["60"], { stdio: "ignore" });
    try {
      await once(child, "spawn");
      refused("ETXTBSY", () => place.open("d/program", O_WRONLY));
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    place.open("d/program", O_WRONLY);
  }),
  check("a file opened for reading before a change shows what is written later", "f=1", (place) => {
    const fd = place.open("f");
    assert.equal(readFrom(fd, 0), "1");
    place.append("f", "2");
    assert.equal(readFrom(fd, 0), "12");
    assert.equal(fstatSync(fd).size, 2);
  }),
);
