import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { type LayerTarOptions, writeLayerTar } from "../../../../layers/diff/layer-tar.ts";
import { newChunk } from "../../../../layers/diff/tar-stream-writer.ts";
import { diffUpper } from "../../../../layers/diff/upper-diff.ts";
import type { TarEntry } from "../../../../layers/tar/entry.ts";
import { TarReader } from "../../../../layers/tar/reader.ts";
import { MergedTree } from "../../../../src/overlay/merged-tree.ts";
import { bytesOf, type HostPath, joinHost } from "../../../../src/paths.ts";
import { AT_FDCWD, setTimes } from "../../../../src/sys/file.ts";
import { setXattr } from "../../../../src/sys/xattr.ts";
import { temporaryDirectory } from "../../../helpers/temporary.ts";
import { writableNamespace as namespace, writeTree } from "../../../helpers/tree.ts";

const CHUNK_BYTES = 64 * 1024;

interface Written {
  readonly bytes: Buffer;
  readonly entries: readonly TarEntry[];
  readonly contents: ReadonlyMap<string, Buffer>;
}

async function write(lower: HostPath, upperdir: HostPath, options: LayerTarOptions = {}): Promise<Written> {
  const chunks: Buffer[] = [];
  const merged = new MergedTree([upperdir, lower], { namespace });
  const diff = diffUpper({ upperdir, lower: new MergedTree([lower], { namespace }), merged, namespace });
  const sink = {
    take: () => newChunk(CHUNK_BYTES),
    write: async (chunk: Buffer) => void chunks.push(Buffer.from(chunk)),
  };
  const sizeBytes = await writeLayerTar(diff, sink, options);
  const bytes = Buffer.concat(chunks);
  assert.equal(bytes.length, sizeBytes);
  return { bytes, ...read(bytes) };
}

function read(bytes: Buffer): Pick<Written, "entries" | "contents"> {
  const entries: TarEntry[] = [];
  const contents = new Map<string, Buffer>();
  const reader = new TarReader({
    entry: (entry) => {
      entries.push(entry);
      contents.set(entry.path, Buffer.alloc(entry.sizeBytes));
    },
    data: (data, offset) => void data.copy(contents.get(entries.at(-1)?.path ?? "") ?? Buffer.alloc(0), offset),
    end: () => {},
  });
  reader.push(bytes);
  reader.finish();
  return { entries, contents };
}

async function fixture(
  lowerNotation: string,
  upperNotation: string,
  use: (lower: HostPath, upper: HostPath) => Promise<void>,
): Promise<void> {
  await using directory = temporaryDirectory();
  writeTree(directory.host("lower"), lowerNotation);
  writeTree(directory.host("upper"), upperNotation);
  await use(directory.host("lower"), directory.host("upper"));
}

const NOTHING = { uid: 0, gid: 0, mode: 0, mtimeNs: 0n, sizeBytes: 0, type: "file" };

test("members are sorted by their paths, with the directories above each and a whiteout where its path would be", async () => {
  await fixture("a/x=1 a/gone=1 b/y=1", "a/z=1 -a/gone b/c/d=1 a-c=1", async (lower, upper) => {
    const { entries } = await write(lower, upper);
    const paths = entries.map(({ path }) => path).filter((path) => path !== "./");
    assert.deepEqual(paths, ["a/", "a-c", "a/.wh.gone", "a/z", "b/", "b/c/", "b/c/d"]);
    const { uid, gid, mode, mtimeNs, sizeBytes, type } = entries.find(({ path }) => path === "a/.wh.gone") ?? NOTHING;
    assert.deepEqual({ uid, gid, mode, mtimeNs, sizeBytes, type }, NOTHING);
  });
});

test("the first of several names is the file, the others are links to it", async () => {
  await fixture("k=1", "m/", async (lower, upper) => {
    mkdirSync(joinHost(upper, "a"));
    writeFileSync(joinHost(upper, "m/2"), "x");
    linkSync(joinHost(upper, "m/2"), joinHost(upper, "a/1"));
    linkSync(joinHost(upper, "m/2"), joinHost(upper, "m/3"));
    const { entries } = await write(lower, upper);
    const links = entries.filter(({ type }) => type !== "directory").map((e) => `${e.path} ${e.type} ${e.linkTarget}`);
    assert.deepEqual(links, ["a/1 file ", "m/2 hardlink a/1", "m/3 hardlink a/1"]);
  });
});

test("contents of every size around a chunk's come through whole", async () => {
  await fixture("k=1", "", async (lower, upper) => {
    const sizes = [0, 1, 511, 512, 513, CHUNK_BYTES - 1536, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 7];
    for (const size of sizes) writeFileSync(joinHost(upper, `f${size}`), Buffer.alloc(size, `${size},`));
    const { contents } = await write(lower, upper);
    for (const size of sizes) assert.ok(contents.get(`f${size}`)?.equals(Buffer.alloc(size, `${size},`)), String(size));
  });
});

test("holes stay holes and cost nothing", async () => {
  await fixture("k=1", "sparse=x", async (lower, upper) => {
    truncateSync(joinHost(upper, "sparse"), 50 * 1024 * 1024);
    const { bytes, entries, contents } = await write(lower, upper);
    const entry = entries.find(({ path }) => path === "sparse");
    assert.deepEqual(entry?.extents, [{ offset: 0, lengthBytes: 4096 }]);
    assert.equal(contents.get("sparse")?.toString("latin1", 0, 2), "x\0");
    assert.ok(bytes.length < 20_000, `${bytes.length} bytes`);
  });
});

test("GNU tar lists and compares it", async () => {
  await fixture("k=1", "d/f=1 d/l->f", async (lower, upper) => {
    const { bytes } = await write(lower, upper);
    const listed = execFileSync("tar", ["-t"], { input: bytes }).toString().split("\n");
    assert.deepEqual(
      listed.filter((path) => path !== "./"),
      ["d/", "d/f", "d/l", ""],
    );
    execFileSync("tar", ["--compare", "-C", upper], { input: bytes });
  });
});

test("the same change gives the same bytes, and no time is later than the epoch", async () => {
  await fixture("k=1", "d/f=1 d/g=2", async (lower, upper) => {
    setTimes(AT_FDCWD, joinHost(upper, "d/f"), 0n, 1_000_000_000_000_000_001n);
    const [one, two] = [await write(lower, upper), await write(lower, upper)];
    assert.ok(one.bytes.equals(two.bytes));
    const { entries } = await write(lower, upper, { epochNs: 1_100_000_000_000_000_000n });
    const times = new Map(entries.map(({ path, mtimeNs }) => [path, mtimeNs]));
    assert.equal(times.get("d/f"), 1_000_000_000_000_000_001n);
    assert.equal(times.get("d/g"), 1_100_000_000_000_000_000n);
  });
});

test("attributes go out as the mount shows them: overlayfs' own do not, an escaped one without its escape", async () => {
  await fixture("k=1", "f=1", async (lower, upper) => {
    const path = joinHost(upper, "f");
    setXattr(path, "user.binary", Buffer.from([0, 10, 255]));
    setXattr(path, `${namespace}.overlay.origin`, Buffer.from("x"));
    setXattr(path, `${namespace}.overlay.overlay.redirect`, Buffer.from("r"));
    const { entries } = await write(lower, upper);
    const xattrs = [...(entries.find((entry) => entry.path === "f")?.xattrs ?? [])];
    const shown = xattrs.map(([name, value]) => `${name}=${Buffer.from(value).toString("hex")}`).sort();
    assert.deepEqual(shown, [`${namespace}.overlay.redirect=72`, "user.binary=000aff"].sort());
  });
});

test("a file that shrinks under the reader is a conflict that names it", async () => {
  await fixture("k=1", "f=1 g=1", async (lower, upper) => {
    const path = joinHost(upper, "g");
    writeFileSync(bytesOf(path), Buffer.alloc(4 * CHUNK_BYTES));
    writeFileSync(bytesOf(joinHost(upper, "f")), Buffer.alloc(2 * CHUNK_BYTES));
    const onProgress = (): void => truncateSync(path, 10);
    await assert.rejects(write(lower, upper, { onProgress }), { code: "ERR_FILE_CHANGED", data: { path: "g" } });
  });
});

test("an abort stops it", async () => {
  await fixture("k=1", "f=1", async (lower, upper) => {
    writeFileSync(joinHost(upper, "f"), Buffer.alloc(4 * CHUNK_BYTES));
    await assert.rejects(write(lower, upper, { signal: AbortSignal.abort() }), { name: "AbortError" });
  });
});
