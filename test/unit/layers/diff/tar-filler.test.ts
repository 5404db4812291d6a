import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TarFiller } from "../../../../layers/diff/tar-filler.ts";
import { fillPiece, TarPiece } from "../../../../layers/diff/tar-piece.ts";
import { newChunk } from "../../../../layers/diff/tar-stream-writer.ts";
import { bytesOf, type HostPath, type LayerPath } from "../../../../src/paths.ts";
import { AT_FDCWD } from "../../../../src/sys/file.ts";
import { type Stat, statAt } from "../../../../src/sys/stat.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";

const PIECE_BYTES = 64;

/** A full piece: a header, and then `path` from its third byte on. */
function pieceOf(path: HostPath, stat: Stat | null = null): TarPiece {
  const piece = new TarPiece(newChunk(PIECE_BYTES));
  piece.append(Buffer.from("head"), 0);
  piece.leave(path, "name" as LayerPath, 3, PIECE_BYTES - 4, stat);
  return piece;
}

/** Fills pieces until the thread takes one, and returns the promise for that one. */
async function fillByThread(
  filler: TarFiller,
  before: HostPath,
  piece: () => TarPiece,
): Promise<[TarPiece, Promise<void>]> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const filled = filler.fill(pieceOf(before));
    filled?.catch(() => {}); // the test may end the thread before it is done
    if (filled !== undefined) break;
    assert.ok(Date.now() < deadline, "the thread never took a piece");
    await sleep(5);
  }
  const sent = piece();
  const filled = filler.fill(sent);
  assert.ok(filled !== undefined, "the thread takes two pieces at once");
  return [sent, filled];
}

test("a full piece starts a thread, which fills the ones that come later as this thread would", async () => {
  await using temporary = temporaryDirectory();
  const file = temporary.host("a file \xff");
  const content = Buffer.from(Array.from({ length: 100 }, (_, index) => index));
  writeFileSync(bytesOf(file), content);
  await using filler = new TarFiller();
  const here = pieceOf(file);
  assert.equal(filler.fill(here), undefined, "the first is filled at once");
  const [there, filled] = await fillByThread(filler, file, () => pieceOf(file));
  await filled;
  assert.deepEqual(here.bytes, Buffer.concat([Buffer.from("head"), content.subarray(3, 63)]));
  assert.deepEqual(there.bytes, here.bytes);
});

test("a file that became shorter, and one that is gone, are errors from either thread", async () => {
  await using temporary = temporaryDirectory();
  const [file, short] = [temporary.host("file"), temporary.host("short")];
  writeFileSync(bytesOf(file), Buffer.alloc(100));
  writeFileSync(bytesOf(short), Buffer.alloc(100));
  truncateSync(bytesOf(short), 50);
  const [changed, gone] = [{ code: "ERR_FILE_CHANGED", data: { path: "name" } }, { code: "ENOENT" }];
  await using filler = new TarFiller();
  assert.throws(() => filler.fill(pieceOf(short)), changed);
  assert.throws(() => filler.fill(pieceOf(temporary.host("gone"))), gone);
  const [, shortThere] = await fillByThread(filler, file, () => pieceOf(short));
  await assert.rejects(shortThere, changed);
  const [, goneThere] = await fillByThread(filler, file, () => pieceOf(temporary.host("gone")));
  await assert.rejects(goneThere, gone);
});

test("a file that is not in the state it was found in is an error from either thread, though it is as long", async () => {
  await using temporary = temporaryDirectory();
  const file = temporary.host("file");
  writeFileSync(bytesOf(file), Buffer.alloc(100));
  const found = statAt(AT_FDCWD, file);
  const changed = { code: "ERR_FILE_CHANGED", data: { path: "name" } };
  await using filler = new TarFiller();
  const [, filled] = await fillByThread(filler, file, () => pieceOf(file, found));
  await filled;
  while (statAt(AT_FDCWD, file).ctimeNs === found.ctimeNs) writeFileSync(bytesOf(file), Buffer.alloc(100, 1));
  const here = pieceOf(file, found);
  assert.equal(fillPiece(here.bytes, here.reads), 0);
  const [, changedThere] = await fillByThread(filler, file, () => pieceOf(file, found));
  await assert.rejects(changedThere, changed);
});

test("what the thread has been sent when it is ended is done first", async () => {
  await using temporary = temporaryDirectory();
  const file = temporary.host("file");
  writeFileSync(bytesOf(file), Buffer.alloc(100));
  const filler = new TarFiller();
  const [, filled] = await fillByThread(filler, file, () => pieceOf(file));
  await filler[Symbol.asyncDispose]();
  await filled;
});

test("a directory that turned into a symbolic link is not followed, and a fifo does not hold the reader up", async () => {
  await using temporary = temporaryDirectory();
  mkdirSync(bytesOf(temporary.host("directory")));
  writeFileSync(bytesOf(temporary.host("directory", "file")), Buffer.alloc(100, 1));
  const piece = pieceOf(temporary.host("directory", "file"));
  assert.equal(fillPiece(piece.bytes, piece.reads), null);
  renameSync(bytesOf(temporary.host("directory")), bytesOf(temporary.host("moved")));
  symlinkSync("moved", bytesOf(temporary.host("directory")));
  assert.throws(() => fillPiece(piece.bytes, piece.reads), { code: "ELOOP" });
  const fifo = temporary.host("fifo");
  execFileSync("mkfifo", [bytesOf(fifo).toString()]);
  assert.throws(() => fillPiece(piece.bytes, pieceOf(fifo).reads), { code: "ESPIPE" });
});
