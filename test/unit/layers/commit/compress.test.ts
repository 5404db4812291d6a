import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { BlockCompressor, COMPRESSIONS, type Compression } from "../../../../layers/commit/compress.ts";
import { requires } from "../../../helpers/requires.ts";

const MIB = 1024 * 1024;

async function compress(input: Buffer, compression: Compression): Promise<Buffer> {
  const output: Buffer[] = [];
  await using compressor = new BlockCompressor(compression, async (bytes) => void output.push(Buffer.from(bytes)));
  for (let at = 0; at < input.length; ) {
    const block = compressor.take();
    const size = input.copy(block, 0, at);
    await compressor.write(block.subarray(0, size));
    at += size;
  }
  await compressor.finish();
  return Buffer.concat(output);
}

/** Half noise, half text: blocks that grow and blocks that shrink. */
function sample(sizeBytes: number): Buffer {
  const text = Buffer.alloc(Math.ceil(sizeBytes / 2), "all work and no play ");
  return Buffer.concat([randomBytes(Math.floor(sizeBytes / 2)), text]);
}

const DECOMPRESS = { gzip: gunzipSync, zstd: zstdDecompressSync, none: (bytes: Buffer): Buffer => bytes };

for (const compression of COMPRESSIONS) {
  test(`what ${compression} compresses comes back, whatever the number of blocks`, async () => {
    for (const sizeBytes of [1, 10_000, MIB, 4 * MIB, 9 * MIB + 17]) {
      const input = sample(sizeBytes);
      assert.ok(DECOMPRESS[compression](await compress(input, compression)).equals(input), `${sizeBytes} bytes`);
    }
  });

  test(`${compression} gives the same bytes for the same input`, async () => {
    const input = sample(9 * MIB);
    assert.ok((await compress(input, compression)).equals(await compress(input, compression)));
  });
}

test("gzip is one member, with nothing of the machine or the day in its header", async () => {
  const bytes = await compress(Buffer.alloc(3 * MIB, "abc"), "gzip");
  assert.equal(bytes.subarray(0, 10).toString("hex"), "1f8b08000000000004ff");
  assert.equal(bytes.readUInt32LE(bytes.length - 4), 3 * MIB);
  assert.equal(bytes.indexOf(Buffer.from("1f8b0800", "hex"), 1), -1);
});

for (const [program, compression] of [
  ["gzip", "gzip"],
  ["igzip", "gzip"],
  ["pigz", "gzip"],
  ["zstd", "zstd"],
] as const) {
  test(`${program} decompresses what we compress`, { skip: requires(`program:${program}`) }, async () => {
    const input = sample(9 * MIB + 1);
    const bytes = await compress(input, compression);
    const output = execFileSync(program, ["-d", "-c"], { input: bytes, maxBuffer: 20 * MIB });
    assert.equal(createHash("sha256").update(output).digest("hex"), createHash("sha256").update(input).digest("hex"));
  });
}

test("an output that fails stops the stream, and what is in work ends before the disposal does", async () => {
  await assert.rejects(
    async () => {
      await using compressor = new BlockCompressor("gzip", async () => Promise.reject(new Error("disk full")));
      for (let count = 0; count < 20; count++) await compressor.write(compressor.take().fill(1));
    },
    { message: "disk full" },
  );
});
