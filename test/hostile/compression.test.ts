/** Compressed layers that are cut short, corrupt, or far larger than they look. */

import { gzipSync, zstdCompressSync } from "node:zlib";
import { compress } from "../helpers/image-builder.ts";
import { directory, file, tar } from "../helpers/tar-builder.ts";
import { type Hostile, type Layers, refused } from "./refusal.ts";

const LAYER = tar(
  directory("d/"),
  file("d/a", Buffer.from(Array.from({ length: 20_000 }, (_, at) => (at * 7919) % 251))),
);
const BOMB = tar(file("bomb", Buffer.alloc(64 << 20)));

/** A layer whose blob is `bytes`, with a digest and size that are right for them. */
const blob = (bytes: Buffer, compression: "gzip" | "zstd"): Layers => [{ tar: LAYER, compression, blob: bytes }];

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

const gzip = gzipSync(LAYER);
const zstd = compress(LAYER, "zstd");

/** The header of a zstd frame that asks for a window of 2 GiB and more (RFC 8878, 3.1.1.1.2). */
const wideWindow = Buffer.concat([Buffer.from("28b52ffd0098", "hex"), Buffer.from("010000", "hex"), Buffer.alloc(16)]);

const REFUSED: readonly Hostile[] = [
  {
    name: "a gzip stream cut short is refused",
    source: () => blob(gzip.subarray(0, gzip.length - 20), "gzip"),
    says: /sha256:/,
  },
  {
    name: "a gzip stream cut short in its header is refused",
    source: () => blob(gzip.subarray(0, 5), "gzip"),
    says: /sha256:/,
  },
  {
    name: "a gzip stream with a wrong checksum is refused",
    source: () => blob(flipped(gzip, gzip.length - 6), "gzip"),
    says: /sha256:/,
  },
  {
    name: "a gzip stream with corrupt data is refused",
    source: () => blob(flipped(gzip, gzip.length >> 1), "gzip"),
    says: /sha256:/,
  },
  {
    name: "garbage after a gzip stream is refused",
    source: () => blob(Buffer.concat([gzip, Buffer.alloc(512, "g")]), "gzip"),
    says: /sha256:/,
  },
  {
    name: "a zstd stream cut short is refused",
    source: () => blob(zstd.subarray(0, zstd.length - 20), "zstd"),
    says: /sha256:/,
  },
  {
    name: "a zstd stream cut short in its header is refused",
    source: () => blob(zstd.subarray(0, 5), "zstd"),
    says: /sha256:/,
  },
  {
    name: "a zstd stream with a wrong checksum is refused",
    source: () => blob(flipped(zstd, zstd.length - 2), "zstd"),
    says: /sha256:/,
  },
  {
    name: "garbage after a zstd stream is refused",
    source: () => blob(Buffer.concat([zstd, Buffer.alloc(512, "g")]), "zstd"),
    says: /sha256:/,
  },
  {
    name: "a zstd frame that asks for a window of gigabytes is refused",
    source: () => blob(wideWindow, "zstd"),
    says: /sha256:/,
  },
  {
    name: "a skippable zstd frame longer than the blob is refused",
    source: () => blob(Buffer.concat([Buffer.from("502a4d18ffffffff", "hex"), zstd]), "zstd"),
    says: /sha256:/,
  },
  {
    name: "a gzip bomb is refused at the limit",
    source: () => [{ tar: BOMB, compression: "gzip" }],
    arguments: ["--max-layer-size", "1MiB"],
    says: /sha256:.*limit|limit.*sha256:/,
  },
  {
    name: "a zstd bomb is refused at the limit",
    source: () => [{ tar: BOMB, compression: "zstd", blob: zstdCompressSync(BOMB) }],
    arguments: ["--max-layer-size", "1MiB"],
    says: /sha256:.*limit|limit.*sha256:/,
  },
  {
    name: "a bomb that is a whole archive is refused at its limit",
    source: () => gzipSync(Buffer.alloc(4 << 20)),
    arguments: ["--max-archive-size", "1MiB"],
    says: /archive: it is larger than the limit of 1048576 bytes/,
  },
  {
    name: "a plain tar over the limit is refused",
    source: () => [BOMB],
    arguments: ["--max-layer-size", "1MiB"],
    says: /sha256:.*limit|limit.*sha256:/,
  },
  {
    name: "a gzip bomb of many members is refused at the limit",
    source: () => {
      const piece = gzipSync(Buffer.alloc(1 << 20));
      return [
        {
          tar: BOMB,
          compression: "gzip",
          blob: Buffer.concat([gzipSync(BOMB.subarray(0, 512)), ...Array.from({ length: 64 }, () => piece)]),
        },
      ];
    },
    arguments: ["--max-layer-size", "1MiB"],
    says: /sha256:.*limit|limit.*sha256:/,
  },
  {
    name: "too many members are refused at the limit",
    source: () => [tar(...Array.from({ length: 2000 }, (_, at) => file(`f${at}`)))],
    arguments: ["--max-entries", "1000"],
    says: /1,?000/,
  },
];

for (const fixture of REFUSED) refused(fixture);
