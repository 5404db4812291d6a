/** flock(2), and record locks of fcntl(2): of a process and of an open file, within one process and between two. */

import assert from "node:assert/strict";
import { O_RDONLY } from "../../../src/sys/file.ts";
import { tryLock } from "../../../src/sys/lock.ts";
import { findRecordLock, O_RDWR, setRecordLock } from "../calls.ts";
import { check, group, refused } from "../check.ts";
import { startPeer } from "../peer.ts";

export const locks = group(
  "locks",
  check("an exclusive lock keeps out another descriptor, a shared one another exclusive one", "f=1", (place) => {
    const [one, two, three] = [place.open("f", O_RDWR), place.open("f", O_RDWR), place.open("f")];
    assert.deepEqual(
      [tryLock(one, "exclusive"), tryLock(two, "exclusive"), tryLock(three, "shared")],
      [true, false, false],
    );
    assert.deepEqual(
      [tryLock(one, "shared"), tryLock(two, "shared"), tryLock(three, "exclusive")],
      [true, true, false],
    );
  }),
  check("a lock goes with the last descriptor of its open file", "f=1", (place) => {
    const [one, two] = [place.open("f", O_RDWR), place.open("f", O_RDWR)];
    assert.equal(tryLock(one, "exclusive"), true);
    place.close(one);
    assert.equal(tryLock(two, "exclusive"), true);
  }),
  check("a lock taken before the file is written keeps out who opens it afterwards", "f=1", (place) => {
    const reader = place.open("f", O_RDONLY);
    assert.equal(tryLock(reader, "exclusive"), true);
    place.append("f", "2");
    assert.equal(tryLock(place.open("f", O_RDWR), "exclusive"), false);
    assert.equal(tryLock(place.open("f", O_RDONLY), "shared"), false);
  }),
  check("a directory is locked", "d/x=1", (place) => {
    assert.deepEqual([tryLock(place.open("d"), "exclusive"), tryLock(place.open("d"), "shared")], [true, false]);
  }),
  check("a lock is for the file, by whatever name it is opened", "f=1", (place) => {
    const fd = place.open("f", O_RDWR);
    assert.equal(tryLock(fd, "exclusive"), true);
    place.link("f", "g");
    place.rename("f", "h");
    assert.deepEqual([tryLock(place.open("g"), "shared"), tryLock(place.open("h"), "shared")], [false, false]);
  }),
  check("a lock keeps out another process, until it is let go", "f=1", async (place) => {
    await using peer = startPeer();
    const order = { do: "flock", path: place.path("f"), mode: "exclusive", flags: O_RDWR } as const;
    const fd = place.open("f", O_RDWR);
    assert.equal(tryLock(fd, "exclusive"), true);
    assert.equal(await peer.tell(order), "EAGAIN");
    place.close(fd);
    assert.equal(await peer.tell(order), "done");
    assert.equal(tryLock(place.open("f"), "shared"), false);
  }),
  check("a lock goes with its process", "f=1", async (place) => {
    const fd = place.open("f", O_RDWR);
    {
      await using peer = startPeer();
      await peer.tell({ do: "flock", path: place.path("f"), mode: "shared", flags: O_RDONLY });
      assert.equal(tryLock(fd, "exclusive"), false);
    }
    assert.equal(tryLock(fd, "exclusive"), true);
  }),
  check("a record lock keeps out another process in its range only", "f=1234567890", async (place) => {
    await using peer = startPeer();
    const lock = { do: "lock", path: place.path("f"), type: "write" } as const;
    const fd = place.open("f", O_RDWR);
    setRecordLock(fd, "process", "write", 2, 3);
    assert.equal(await peer.tell({ ...lock, start: 4, lengthBytes: 1 }), "EAGAIN");
    assert.equal(await peer.tell({ ...lock, start: 5, lengthBytes: 0 }), "done");
    refused("EAGAIN", () => setRecordLock(fd, "process", "write", 0, 0));
    setRecordLock(fd, "process", "none", 3, 2);
    assert.equal(await peer.tell({ ...lock, start: 3, lengthBytes: 2 }), "done");
  }),
  check("who holds a record lock is told", "f=1", async (place) => {
    await using peer = startPeer();
    const fd = place.open("f", O_RDWR);
    assert.equal(findRecordLock(fd, "process", "write").type, "none");
    await peer.tell({ do: "lock", path: place.path("f"), type: "read", start: 0, lengthBytes: 0 });
    assert.deepEqual(findRecordLock(fd, "process", "write"), { type: "read", pid: peer.pid });
    assert.equal(findRecordLock(fd, "process", "read").type, "none");
  }),
  check("record locks of a process go when it closes any descriptor of the file", "f=1", async (place) => {
    await using peer = startPeer();
    const lock = { do: "lock", path: place.path("f"), type: "write", start: 0, lengthBytes: 1 } as const;
    setRecordLock(place.open("f", O_RDWR), "process", "write");
    assert.equal(await peer.tell(lock), "EAGAIN");
    place.close(place.open("f"));
    assert.equal(await peer.tell(lock), "done");
  }),
  check("record locks of open files keep out each other, and those of processes", "f=1", async (place) => {
    await using peer = startPeer();
    const [one, two] = [place.open("f", O_RDWR), place.open("f", O_RDWR)];
    setRecordLock(one, "file", "write", 0, 10);
    refused("EAGAIN", () => setRecordLock(two, "file", "write", 5, 10));
    setRecordLock(two, "file", "write", 10, 10);
    const lock = { do: "lock", path: place.path("f"), type: "read", start: 0, lengthBytes: 1 } as const;
    assert.equal(await peer.tell(lock), "EAGAIN");
    place.close(one);
    assert.equal(await peer.tell(lock), "done");
  }),
  check("a lock for reading takes a descriptor for reading, one for writing one for writing", "f=1", (place) => {
    setRecordLock(place.open("f", O_RDONLY), "file", "read");
    refused("EBADF", () => setRecordLock(place.open("f", O_RDONLY), "file", "write"));
  }),
);
