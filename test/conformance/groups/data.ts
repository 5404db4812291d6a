/** Reading and writing: positions, holes, sizes, mappings. */

import assert from "node:assert/strict";
import { fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { copyFileRange, dataExtents } from "../../../src/sys/copy.ts";
import { O_CREAT, O_RDONLY, O_WRONLY, writeAllAt } from "../../../src/sys/file.ts";
import { FALLOCATE, fallocate, mapFile, O_APPEND, O_RDWR, SEEK_DATA, SEEK_END, SEEK_HOLE, seek } from "../calls.ts";
import { check, group, refused } from "../check.ts";
import { readFrom, writeTo } from "../place.ts";

const MIB = 1 << 20;
const BLOCK = 4096;

/** Bytes that differ at every place where a mistake would be made: an offset of a block, a page, a request. */
function pattern(sizeBytes: number): string {
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at++) bytes[at] = (at * 31 + (at >> 8) * 7 + (at >> 16)) & 0xff;
  return bytes.toString("latin1");
}

export const data = group(
  "data",
  check("what is written is read back", "f=12345", (place) => {
    const fd = place.open("f", O_RDWR);
    writeAllAt(fd, Buffer.from("ab"), 1);
    assert.equal(readFrom(fd, 0), "1ab45");
    assert.equal(place.read("f"), "1ab45");
  }),
  check("five megabytes and a few bytes are read back", "d/", (place) => {
    const content = pattern(5 * MIB + 3);
    place.write("d/f", content);
    assert.ok(place.read("d/f") === content);
    place.append("d/f", "end");
    assert.ok(place.read("d/f") === `${content}end`);
  }),
  check("a write beyond the end leaves zeros between", "f=1", (place) => {
    writeAllAt(place.open("f", O_WRONLY), Buffer.from("z"), 5);
    assert.equal(place.read("f"), "1\0\0\0\0z");
  }),
  check("a position is shared by copies of a descriptor only", "f=123456", (place) => {
    const [one, two] = [place.open("f"), place.open("f")];
    assert.equal(readFrom(one, null, 2) + readFrom(two, null, 3) + readFrom(one, null, 1), "121233");
  }),
  check("two descriptors that append lose nothing of each other", "f=0", (place) => {
    const [one, two] = [place.open("f", O_WRONLY | O_APPEND), place.open("f", O_WRONLY | O_APPEND)];
    for (let at = 0; at < 50; at++) writeTo(at % 2 === 0 ? one : two, String(at % 10));
    assert.equal(place.read("f"), `0${"0123456789".repeat(5)}`);
  }),
  check("what one descriptor writes another reads at once", "f=1", (place) => {
    const [writer, reader] = [place.open("f", O_RDWR), place.open("f", O_RDWR)];
    writeTo(writer, "2");
    assert.equal(readFrom(reader, 0), "2");
    ftruncateSync(writer, 0);
    assert.equal(readFrom(reader, 0), "");
    assert.equal(fstatSync(reader).size, 0);
  }),
  check("truncating cuts off, and makes zeros when it grows again", "f=123456", (place) => {
    place.truncate("f", 3);
    assert.equal(place.read("f"), "123");
    place.truncate("f", 6);
    assert.equal(place.read("f"), "123\0\0\0");
    place.truncate("f", 0);
    assert.equal(place.read("f"), "");
  }),
  check("an open file is truncated, up and down", "f=123456", (place) => {
    const fd = place.open("f", O_RDWR);
    ftruncateSync(fd, 2);
    assert.equal(place.read("f"), "12");
    ftruncateSync(fd, BLOCK * 3);
    assert.equal(place.stat("f").sizeBytes, BLOCK * 3);
    assert.equal(readFrom(fd, BLOCK * 3 - 2), "\0\0");
  }),
  check("truncating refuses what it must", "f=1 d/", (place) => {
    refused("EISDIR", () => place.truncate("d", 0));
    refused("ENOENT", () => place.truncate("nothing", 0));
    refused("EINVAL", () => ftruncateSync(place.open("f", O_RDONLY), 0));
    refused("EFBIG", () => place.truncate("f", Number.MAX_SAFE_INTEGER));
  }),
  check("a file is empty at and beyond its end", "f=123", (place) => {
    const fd = place.open("f");
    assert.equal(readFrom(fd, 3) + readFrom(fd, 1000), "");
    assert.equal(seek(fd, 0, SEEK_END), 3);
    assert.equal(readFrom(fd, null), "");
  }),
  check("a directory is not read as a file", "d/", (place) => {
    refused("EISDIR", () => readSync(place.open("d"), Buffer.alloc(1)));
  }),
  check("a file of four terabytes that is a hole takes no room", "f=1", (place) => {
    place.truncate("f", 4 * 1024 ** 4);
    const { sizeBytes, blocks512 } = place.stat("f");
    assert.equal(sizeBytes, 4 * 1024 ** 4);
    assert.ok(blocks512 <= 16, `${blocks512} blocks`);
    assert.equal(readFrom(place.open("f"), 3 * 1024 ** 4, 3), "\0\0\0");
    place.unlink("f"); // whoever compares the trees afterwards would read it all
  }),
  check("holes are found where nothing was written", "f=", (place) => {
    const fd = place.open("f", O_RDWR);
    writeAllAt(fd, Buffer.alloc(BLOCK, 1), 16 * BLOCK);
    writeAllAt(fd, Buffer.alloc(BLOCK, 2), 64 * BLOCK);
    ftruncateSync(fd, 100 * BLOCK);
    assert.deepEqual(dataExtents(fd, 100 * BLOCK), [
      [16 * BLOCK, 17 * BLOCK],
      [64 * BLOCK, 65 * BLOCK],
    ]);
    assert.equal(seek(fd, 0, SEEK_HOLE), 0);
    refused("ENXIO", () => seek(fd, 100 * BLOCK, SEEK_DATA));
  }),
  check("fallocate makes a file longer, or not if so asked", "f=1", (place) => {
    const fd = place.open("f", O_RDWR);
    fallocate(fd, FALLOCATE.keepSize, 0, 8 * BLOCK);
    assert.equal(place.stat("f").sizeBytes, 1);
    fallocate(fd, FALLOCATE.allocate, 0, 4 * BLOCK);
    assert.equal(place.stat("f").sizeBytes, 4 * BLOCK);
    assert.equal(readFrom(fd, 0, 3), "1\0\0");
    assert.ok(place.stat("f").blocks512 >= 32);
  }),
  check("fallocate punches a hole, and clears a range", "d/", (place) => {
    const fd = place.open("d/f", O_RDWR | O_CREAT, 0o644);
    writeTo(fd, "x".repeat(8 * BLOCK));
    fallocate(fd, FALLOCATE.punchHole, 2 * BLOCK, BLOCK);
    fallocate(fd, FALLOCATE.zeroRange, 5 * BLOCK, BLOCK);
    assert.equal(seek(fd, 0, SEEK_HOLE), 2 * BLOCK);
    assert.equal(place.stat("d/f").sizeBytes, 8 * BLOCK);
    const [x, zero] = ["x".repeat(BLOCK), "\0".repeat(BLOCK)];
    assert.ok(place.read("d/f") === x + x + zero + x + x + zero + x + x);
  }),
  check("fallocate refuses what it must", "f=1", (place) => {
    refused("EBADF", () => fallocate(place.open("f"), FALLOCATE.allocate, 0, 1));
    refused("EINVAL", () => fallocate(place.open("f", O_RDWR), FALLOCATE.allocate, 0, 0));
  }),
  check("copy_file_range copies from one file to another", "from=123456 to=abcdef", (place) => {
    const [from, to] = [place.open("from"), place.open("to", O_RDWR)];
    assert.equal(copyFileRange(from, to, 3), 3);
    assert.equal(copyFileRange(from, to, 100), 3);
    assert.equal(place.read("to"), "123456");
  }),
  check("copy_file_range copies a megabyte", "d/", (place) => {
    const content = pattern(MIB + 5);
    place.write("d/from", content);
    assert.equal(copyFileRange(place.open("d/from"), place.open("d/to", O_WRONLY | O_CREAT, 0o644), 2 * MIB), MIB + 5);
    assert.ok(place.read("d/to") === content);
  }),
  check("fsync and fdatasync succeed, for a directory too", "f=1 d/", (place) => {
    const fd = place.open("f", O_RDWR);
    writeTo(fd, "2");
    fsyncSync(fd);
    fdatasyncSync(fd);
    fsyncSync(place.open("f", O_RDONLY));
    fsyncSync(place.open("d"));
  }),
  check("a write of nothing changes nothing", "f=1", (place) => {
    const before = place.stat("f").mtimeNs;
    assert.equal(writeSync(place.open("f", O_WRONLY), Buffer.alloc(0)), 0);
    assert.deepEqual([place.read("f"), place.stat("f").mtimeNs], ["1", before]);
  }),
  check("a write beyond the greatest size is refused", "f=1", (place) => {
    const fd = place.open("f", O_WRONLY);
    place.unlink("f"); // where it is not refused, nobody is to read it all
    refused("EFBIG", () => writeAllAt(fd, Buffer.from("x"), Number.MAX_SAFE_INTEGER));
  }),
  check("a mapping for reading shows the file", "f=123456", (place) => {
    using mapping = mapFile(place.open("f"), 6, "read");
    assert.equal(mapping.read(1, 4), "2345");
  }),
  check("a mapping for reading shows what is written later", "f=123456", (place) => {
    const fd = place.open("f", O_RDWR);
    using mapping = mapFile(fd, 6, "read");
    assert.equal(mapping.read(0, 6), "123456");
    writeAllAt(fd, Buffer.from("ab"), 2);
    assert.equal(mapping.read(0, 6), "12ab56");
  }),
  check("what is written to a shared mapping is in the file", "f=123456", (place) => {
    const fd = place.open("f", O_RDWR);
    using mapping = mapFile(fd, 6, "shared");
    mapping.write(1, "ab");
    assert.equal(readFrom(fd, 0), "1ab456");
    mapping.sync();
    assert.equal(place.read("f"), "1ab456");
  }),
  check("what is written to a private mapping stays in it", "f=123456", (place) => {
    const fd = place.open("f", O_RDONLY);
    using mapping = mapFile(fd, 6, "private");
    mapping.write(1, "ab");
    assert.deepEqual([mapping.read(0, 6), place.read("f")], ["1ab456", "123456"]);
  }),
  check("two shared mappings by two descriptors show the same bytes", "f=123456", (place) => {
    using one = mapFile(place.open("f", O_RDWR), 6, "shared");
    using two = mapFile(place.open("f", O_RDWR), 6, "shared");
    one.write(0, "x");
    assert.equal(two.read(0, 2), "x2");
  }),
  check("a mapping outlives its descriptor and its name", "f=123456", (place) => {
    const fd = place.open("f", O_RDWR);
    using mapping = mapFile(fd, 6, "shared");
    place.close(fd);
    place.unlink("f");
    mapping.write(0, "x");
    assert.equal(mapping.read(0, 6), "x23456");
  }),
);
