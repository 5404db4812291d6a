import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { type Compression, decompress, sniffCompression } from "../../../../layers/apply/decompress.ts";
import { IntegrityError, UnsupportedError } from "../../../../src/errors.ts";

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function decompressAll(bytes: Buffer, pieceBytes: number, compression?: Compression): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const chunk of decompress(inPieces(bytes, pieceBytes), compression ?? sniffCompression(bytes))) {
    pieces.push(Buffer.from(chunk));
  }
  return Buffer.concat(pieces).toString();
}

function skippableFrame(content: string): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(0x184d2a5e, 0);
  header.writeUInt32LE(content.length, 4);
  return Buffer.concat([header, Buffer.from(content)]);
}

test("the compression is told from the first bytes", () => {
  assert.equal(sniffCompression(gzipSync("x")), "gzip");
  assert.equal(sniffCompression(zstdCompressSync(Buffer.from("x"))), "zstd");
  assert.equal(sniffCompression(skippableFrame("")), "zstd");
  assert.equal(sniffCompression(Buffer.from("usr/\0\0")), "none");
  assert.equal(sniffCompression(Buffer.alloc(0)), "none");
  assert.throws(() => sniffCompression(Buffer.from("fd377a585a00", "hex")), UnsupportedError);
  assert.throws(() => sniffCompression(Buffer.from("BZh91AY&SY")), UnsupportedError);
  assert.equal(sniffCompression(Buffer.from("BZhello.tx")), "none");
});

test("gzip members that follow each other are one stream", async () => {
  const bytes = Buffer.concat([gzipSync("one "), gzipSync(""), gzipSync("two")]);
  for (const size of [1, 7, 1000]) assert.equal(await decompressAll(bytes, size), "one two");
});

test("zstd frames that follow each other are one stream, and skippable ones are left out", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.record({ text: fc.string() }), fc.record({ skip: fc.string({ unit: "binary-ascii" }) })), {
        minLength: 1,
        maxLength: 8,
      }),
      fc.integer({ min: 1, max: 200 }),
      async (frames, pieceBytes) => {
        const bytes = Buffer.concat(
          frames.map((frame) =>
            "text" in frame ? zstdCompressSync(Buffer.from(frame.text)) : skippableFrame(frame.skip),
          ),
        );
        const expected = frames.map((frame) => ("text" in frame ? frame.text : "")).join("");
        assert.equal(await decompressAll(bytes, pieceBytes), Buffer.from(expected).toString());
      },
    ),
    { numRuns: 150 },
  );
});

test("zstd frames with checksums, large blocks and repeated bytes keep their boundaries", async () => {
  const large = Buffer.alloc(700_000, "all the same ");
  const mixed = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919 + (i >> 5)) & 0xff));
  const parameters = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
  const bytes = Buffer.concat([
    zstdCompressSync(large, parameters),
    zstdCompressSync(mixed),
    zstdCompressSync(Buffer.alloc(0)),
  ]);
  for (const size of [1000, 65_536, 2 ** 20]) {
    const out: Buffer[] = [];
    for await (const chunk of decompress(inPieces(bytes, size), "zstd")) out.push(Buffer.from(chunk));
    assert.ok(Buffer.concat(out).equals(Buffer.concat([large, mixed])));
  }
});

test("a stream that is cut short or has something else in it is refused", async () => {
  const gzip = gzipSync("some text to compress");
  const zstd = zstdCompressSync(Buffer.from("some text to compress"));
  for (const bytes of [gzip.subarray(0, -3), Buffer.concat([gzip, Buffer.from("garbage")]), zstd.subarray(0, -3)]) {
    await assert.rejects(decompressAll(bytes, 10), IntegrityError);
  }
  await assert.rejects(decompressAll(Buffer.concat([zstd, Buffer.from("garbage")]), 10), /between its frames/);
  await assert.rejects(decompressAll(skippableFrame("cut off").subarray(0, -1), 4), /ends inside a frame/);
});

test("an error of the source is passed on as it is", async () => {
  async function* failing(): AsyncGenerator<Buffer> {
    yield gzipSync("text").subarray(0, 12);
    throw new RangeError("the disk");
  }
  await assert.rejects(async () => {
    for await (const _ of decompress(failing(), "gzip"));
  }, RangeError);
});
