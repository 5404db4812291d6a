/** The layers of the additional image store: `overlay/ID` leads to the unpacked layer, `overlay-layers` describes it. */

import { once } from "node:events";
import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { finished } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { isErrno } from "../../src/errors.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { type Compression, decompress, release, SNIFF_BYTES, sniffCompression } from "../apply/decompress.ts";
import type { ImageLayer } from "../image.ts";
import type { Store } from "../store.ts";
import { linkName } from "./identity.ts";
import { TarSplitter } from "./tar-split.ts";

/** What `layers.json` says of a layer (containers/storage, layers.go, `Layer`). */
export interface LayerRecord {
  readonly id: string;
  readonly parent?: string;
  readonly created: string;
  readonly "compressed-diff-digest": string;
  readonly "compressed-size": number;
  readonly "diff-digest": string;
  readonly "diff-size": number;
  readonly compression: number;
  /** Those of root alone: what podman would have to map, it looks up itself. */
  readonly uidset: readonly number[];
  readonly gidset: readonly number[];
}

/** Numbers of containers/storage (pkg/archive, `Compression`). */
const COMPRESSION_NUMBERS: Readonly<Record<Compression, number>> = { none: 0, gzip: 2, zstd: 4 };
const READ_BYTES = 1 << 20;
/** The lines repeat themselves so much that more effort saves little. */
const GZIP_LEVEL = 1;

/** A layer of an image, and what it is called there. */
export interface PublishedLayer {
  readonly id: string;
  readonly parent: string | null;
  /** Of all layers below it, the nearest first. */
  readonly lower: readonly string[];
  readonly layer: ImageLayer;
  /** Where it is unpacked. */
  readonly tree: HostPath;
}

/**
 * Makes the directory of a layer in `overlay`, or leads it to where the layer is now. What is read through it is the
 * unpacked layer itself. @throws a system error
 */
export function placeLayer(root: HostPath, { id, lower, tree }: PublishedLayer): void {
  const directory = joinHost(root, "overlay", id);
  const link = linkName(id);
  mkdirSync(bytesOf(directory), { recursive: true, mode: 0o700 });
  leadTo(joinHost(directory, "diff"), tree);
  leadTo(joinHost(root, "overlay", "l", link), `../${id}/diff`);
  writeFileSync(bytesOf(joinHost(directory, "link")), link);
  if (lower.length > 0) {
    writeFileSync(bytesOf(joinHost(directory, "lower")), lower.map((below) => `l/${linkName(below)}`).join(":"));
  }
}

/** Takes a layer away again; its tree stays. */
export function removeLayer(root: HostPath, id: string): void {
  rmSync(bytesOf(joinHost(root, "overlay", "l", linkName(id))), { force: true });
  rmSync(bytesOf(joinHost(root, "overlay", id)), { force: true, recursive: true });
  rmSync(bytesOf(tarSplitPath(root, id)), { force: true });
}

function leadTo(path: HostPath, target: string): void {
  try {
    if (readlinkSync(bytesOf(path), "latin1") === target) return;
    rmSync(bytesOf(path));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  symlinkSync(bytesOf(target), bytesOf(path));
}

function tarSplitPath(root: HostPath, id: string): HostPath {
  return joinHost(root, "overlay-layers", `${id}.tar-split.gz`);
}

/**
 * Describes a layer: reads its blob once and writes its tar-split, without which podman could not push or save the image.
 * `onBytes` is told how much of the blob was read.
 * @throws {IntegrityError} if the blob is damaged
 */
export async function describeLayer(
  store: Store,
  root: HostPath,
  { id, parent, layer, tree }: PublishedLayer,
  options: { readonly signal?: AbortSignal | undefined; readonly onBytes?: (count: number) => void } = {},
): Promise<LayerRecord> {
  const path = tarSplitPath(root, id);
  const blob = store.blobs.path(layer.descriptor.digest);
  const compression = await compressionOf(blob);
  const splitter = new TarSplitter(tree);
  const temporary = `${path}.new` as HostPath;
  const gzip = createGzip({ level: GZIP_LEVEL });
  const file = gzip.pipe(createWriteStream(bytesOf(temporary), { mode: 0o600 }));
  const written = finished(file);
  written.catch(() => undefined); // awaited below, unless reading fails first
  try {
    for await (const piece of decompress(readBlob(blob, options), compression, `layer ${layer.diffId}`)) {
      const lines = splitter.push(piece);
      if (lines !== "" && !gzip.write(lines)) await Promise.race([once(gzip, "drain"), written]);
      release(piece);
    }
    gzip.end(splitter.finish());
    await written;
    renameSync(bytesOf(temporary), bytesOf(path));
  } catch (error) {
    gzip.destroy();
    file.destroy();
    rmSync(bytesOf(temporary), { force: true });
    throw error;
  }
  return {
    id,
    ...(parent !== null && { parent }),
    created: new Date().toISOString(),
    "compressed-diff-digest": layer.descriptor.digest,
    "compressed-size": layer.descriptor.size,
    "diff-digest": layer.diffId,
    "diff-size": splitter.sizeBytes,
    compression: COMPRESSION_NUMBERS[compression],
    uidset: [0],
    gidset: [0],
  };
}

async function compressionOf(blob: HostPath): Promise<Compression> {
  for await (const head of createReadStream(bytesOf(blob), { end: SNIFF_BYTES - 1 }))
    return sniffCompression(head as Buffer);
  return "none";
}

async function* readBlob(
  blob: HostPath,
  { signal, onBytes }: { readonly signal?: AbortSignal | undefined; readonly onBytes?: (count: number) => void },
): AsyncGenerator<Buffer, void, void> {
  for await (const chunk of createReadStream(bytesOf(blob), { highWaterMark: READ_BYTES, signal })) {
    onBytes?.((chunk as Buffer).length);
    yield chunk as Buffer;
  }
}
