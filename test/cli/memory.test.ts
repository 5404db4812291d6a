/** What a layer holds must not decide how much memory an import and a check take. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createWriteStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createGzip } from "node:zlib";
import { ociFiles, writeFiles } from "../helpers/image-builder.ts";
import { LAYERCTL, temporaryStore } from "../helpers/layerctl.ts";
import { requires } from "../helpers/requires.ts";
import { directory, END, file, hardlink, pax, symlink, tar } from "../helpers/tar-builder.ts";

const MIB = 1024 * 1024;
const LIMIT_BYTES = 150 * MIB;

/** Runs the command and returns the most memory that it had, in bytes. */
async function peakOf(args: readonly string[]): Promise<number> {
  const child = spawn(LAYERCTL, args, { stdio: ["ignore", "ignore", "pipe"] });
  let peakBytes = 0;
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  while (!isOver) {
    const status = readStatus(child.pid ?? 0);
    peakBytes = Math.max(peakBytes, 1024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0));
    await sleep(20);
  }
  assert.equal(await ended, 0, said);
  assert.ok(peakBytes > 20 * MIB, `a peak of ${peakBytes} bytes`);
  return peakBytes;
}

function readStatus(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return ""; // it is over
  }
}

const COUNT = 2000;
const LONG = "a-name-of-twenty-by/".repeat(190);

/** Entries of each kind that has to be remembered to the end, or was, with names as long as they may be. */
function* longEntries(): Generator<Buffer> {
  yield pax({ path: `${LONG}first` });
  yield file("x");
  for (let at = 0; at < COUNT; at++) {
    yield Buffer.concat([pax({ path: `${LONG}listed-${at}` }), directory("x", { mtime: at })]);
    yield Buffer.concat([pax({ path: `${LONG}implicit-${at}/f` }), file("x")]);
    yield Buffer.concat([pax({ path: `${LONG}link-${at}`, linkpath: `${LONG}${at}` }), symlink("x", "x")]);
    yield Buffer.concat([pax({ path: `${LONG}.wh.gone-${at}` }), file("x")]);
    yield Buffer.concat([pax({ path: `${LONG}name-${at}`, linkpath: `${LONG}first` }), hardlink("x", "x")]);
  }
  yield END;
}

test("an import, and a deep check, take less than 150 MiB whatever entries a layer has", {
  skip: requires("root"),
}, async () => {
  await using store = temporaryStore();
  const archive = join(store.path, "rootfs.tar.gz");
  await pipeline(Readable.from(longEntries()), createGzip({ level: 1 }), createWriteStream(archive));
  for (const args of [
    ["import", "--rootfs", "--name", "long", archive],
    ["fsck", "--deep"],
  ]) {
    const peak = await peakOf(["--root", store.root, ...args]);
    assert.ok(peak < LIMIT_BYTES, `${args[0]}: ${Math.round(peak / MIB)} MiB`);
  }
});

test("headers as large as they may be do not pile up, in two layers at once", { skip: requires("root") }, async () => {
  await using store = temporaryStore();
  const header = pax({ comment: Buffer.alloc(8 * MIB - 64, "x") });
  const layers = ["a", "b"].map((name) =>
    tar(...Array.from({ length: 12 }, (_, at) => Buffer.concat([header, file(`${name}${at}`)]))),
  );
  const layout = join(store.path, "layout");
  writeFiles(layout, ociFiles([{ layers: layers.map((bytes) => ({ tar: bytes, compression: "gzip" as const })) }]));
  const peak = await peakOf(["--root", store.root, "import", layout]);
  assert.ok(peak < LIMIT_BYTES, `${Math.round(peak / MIB)} MiB`);
});
