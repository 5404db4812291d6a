/**
 * Builds images in every form that layerctl imports, from layer tars: OCI layouts, OCI archives, docker-archives of both
 * generations. Each JSON document and each claim (digest, size, diffID, media type) can be falsified on the way, and the
 * finished set of files too. Formats: OCI image-spec 1.1; Docker image spec 1.2, "Combined Image JSON + Filesystem
 * Changeset Format".
 */

import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { directory, file, symlink, tar } from "./tar-builder.ts";

/** A document as plain data. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
/** A document that a hook may take apart and put together again. */
export type JsonObject = { readonly [name: string]: Json };

/** A layer: its tar, and what to claim of it where that is not the truth. */
export interface LayerSpec {
  readonly tar: Buffer;
  /** "none" unless given. */
  readonly compression?: "none" | "gzip" | "zstd";
  /** The blob's bytes, instead of the compressed tar. */
  readonly blob?: Buffer;
  readonly mediaType?: string;
  readonly digest?: string;
  readonly size?: Json;
  readonly diffId?: string;
}

export interface ImageSpec {
  readonly layers: readonly (LayerSpec | Buffer)[];
  /** "localhost/test:latest" unless given; null for none. */
  readonly reference?: string | null;
  readonly architecture?: string;
  /** What replaces the config or manifest; a Buffer is taken as the document's bytes. */
  readonly config?: (config: JsonObject) => JsonObject | Buffer;
  readonly manifest?: (manifest: JsonObject) => JsonObject | Buffer;
  /** What replaces the manifest's descriptor in index.json. */
  readonly descriptor?: (descriptor: JsonObject) => JsonObject;
}

/** The files of a layout by path: bytes, or `{ symlink }`. */
export type Files = Map<string, Buffer | { readonly symlink: string }>;

const TYPES = "application/vnd.oci.image";

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Where a layout keeps the blob. */
export function blobName(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** Compresses as the spec says it. */
export function compress(bytes: Buffer, compression: "none" | "gzip" | "zstd"): Buffer {
  if (compression === "gzip") return gzipSync(bytes, { level: 6 });
  if (compression === "zstd") return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  return bytes;
}

/** The bytes as several gzip members or zstd frames, one a piece, the latter with a skippable frame before and between. */
export function compressInPieces(bytes: Buffer, compression: "gzip" | "zstd", pieces: number): Buffer {
  const length = Math.ceil(bytes.length / pieces);
  const skippable = Buffer.from("502a4d1805000000" + "0102030405", "hex"); // magic, length 5, five bytes of anything
  const parts = Array.from({ length: pieces }, (_, at) =>
    compress(bytes.subarray(at * length, (at + 1) * length), compression),
  );
  return Buffer.concat(compression === "zstd" ? parts.flatMap((part) => [skippable, part]) : parts);
}

interface BuiltLayer {
  readonly blob: Buffer;
  readonly diffId: string;
  readonly descriptor: JsonObject;
}

function buildLayer(given: LayerSpec | Buffer): BuiltLayer {
  const spec: LayerSpec = Buffer.isBuffer(given) ? { tar: given } : given;
  const compression = spec.compression ?? "none";
  const blob = spec.blob ?? compress(spec.tar, compression);
  const suffix = compression === "none" ? "" : `+${compression}`;
  const descriptor = {
    mediaType: spec.mediaType ?? `${TYPES}.layer.v1.tar${suffix}`,
    digest: spec.digest ?? sha256(blob),
    size: spec.size ?? blob.length,
  };
  return { blob, diffId: spec.diffId ?? sha256(spec.tar), descriptor };
}

function configOf(image: ImageSpec, layers: readonly BuiltLayer[]): Buffer {
  const config = {
    created: "2023-11-14T22:13:20Z",
    architecture: image.architecture ?? (process.arch === "arm64" ? "arm64" : "amd64"),
    os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: ["/bin/sh"] },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map((_, at) => ({ created: "2023-11-14T22:13:20Z", created_by: `layer ${at}` })),
  };
  return bytesOf(image.config?.(config) ?? config);
}

/** A document's bytes, as they go into a blob. */
export function bytesOf(document: Json | Buffer): Buffer {
  return Buffer.isBuffer(document) ? document : Buffer.from(JSON.stringify(document));
}

/** The files of an OCI layout with these images. `index` may replace index.json. */
export function ociFiles(
  images: readonly ImageSpec[],
  index: (index: JsonObject) => JsonObject | Buffer = (document) => document,
): Files {
  const files: Files = new Map([["oci-layout", bytesOf({ imageLayoutVersion: "1.0.0" })]]);
  const manifests = images.map((image) => {
    const layers = image.layers.map(buildLayer);
    for (const layer of layers) files.set(blobName(sha256(layer.blob)), layer.blob);
    const config = configOf(image, layers);
    const manifest = {
      schemaVersion: 2,
      mediaType: `${TYPES}.manifest.v1+json`,
      config: addBlob(files, config, `${TYPES}.config.v1+json`),
      layers: layers.map((layer) => layer.descriptor),
    };
    const descriptor = addBlob(files, bytesOf(image.manifest?.(manifest) ?? manifest), manifest.mediaType);
    const reference = image.reference === undefined ? "localhost/test:latest" : image.reference;
    const named =
      reference === null
        ? descriptor
        : { ...descriptor, annotations: { "org.opencontainers.image.ref.name": reference } };
    return image.descriptor?.(named) ?? named;
  });
  const document = { schemaVersion: 2, mediaType: `${TYPES}.index.v1+json`, manifests };
  files.set("index.json", bytesOf(index(document)));
  return files;
}

/** Puts a blob among the files and returns its descriptor. */
export function addBlob(files: Files, bytes: Buffer, mediaType: string): JsonObject {
  const digest = sha256(bytes);
  files.set(blobName(digest), bytes);
  return { mediaType, digest, size: bytes.length };
}

/**
 * The files of a docker-archive as `docker save` wrote it before version 25: a directory a layer, and a symlink where two
 * layers are equal. `list` may replace manifest.json.
 */
export function dockerFiles(
  images: readonly ImageSpec[],
  list: (manifest: readonly JsonObject[]) => Json | Buffer = (document) => document,
): Files {
  const files: Files = new Map();
  const firstWith = new Map<string, string>();
  const manifest = images.map((image, number) => {
    const layers = image.layers.map(buildLayer);
    const config = configOf(image, layers);
    const paths = layers.map((layer, at) => {
      const name = sha256(`${number} ${at}`).slice(7);
      const path = `${name}/layer.tar`;
      const twin = firstWith.get(sha256(layer.blob));
      files.set(`${name}/VERSION`, Buffer.from("1.0"));
      files.set(`${name}/json`, bytesOf({ id: name }));
      files.set(path, twin === undefined ? layer.blob : { symlink: `../${twin}` });
      if (twin === undefined) firstWith.set(sha256(layer.blob), path);
      return path;
    });
    const configName = `${sha256(config).slice(7)}.json`;
    files.set(configName, config);
    const reference = image.reference === undefined ? "localhost/test:latest" : image.reference;
    return { Config: configName, RepoTags: reference === null ? null : [reference], Layers: paths };
  });
  files.set("manifest.json", bytesOf(list(manifest)));
  return files;
}

/** The files as `docker save` of version 25 and later writes them: an OCI layout with a manifest.json beside. */
export function docker25Files(images: readonly ImageSpec[]): Files {
  const files = ociFiles(images.map((image) => ({ ...image, descriptor: (descriptor) => dockerNamed(descriptor) })));
  const manifest = images.map((image) => {
    const layers = image.layers.map(buildLayer);
    const config = blobName(sha256(configOf(image, layers)));
    const reference = image.reference === undefined ? "localhost/test:latest" : image.reference;
    const paths = layers.map((layer) => blobName(sha256(layer.blob)));
    return { Config: config, RepoTags: reference === null ? null : [reference], Layers: paths };
  });
  files.set("manifest.json", bytesOf(manifest));
  return files;
}

function dockerNamed(descriptor: JsonObject): JsonObject {
  const annotations = descriptor.annotations as { readonly [name: string]: string } | undefined;
  const name = annotations?.["org.opencontainers.image.ref.name"];
  if (name === undefined) return descriptor;
  const tag = name.slice(name.lastIndexOf(":") + 1);
  return {
    ...descriptor,
    annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag },
  };
}

/** Writes the files below `root`, which need not exist. */
export function writeFiles(root: string, files: Files): string {
  for (const [path, content] of files) {
    if (!Buffer.isBuffer(content)) throw new Error(`a layout directory has no symlinks: ${path}`);
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

/** The files as one tar, in their order, directories before what is in them. */
export function archiveOf(files: Files): Buffer {
  const members: Buffer[] = [];
  const made = new Set<string>();
  for (const [path, content] of files) {
    const parts = path.split("/").slice(0, -1);
    parts.forEach((_, at) => {
      const parent = `${parts.slice(0, at + 1).join("/")}/`;
      if (!made.has(parent)) members.push(directory(parent));
      made.add(parent);
    });
    members.push(Buffer.isBuffer(content) ? file(path, content) : symlink(path, content.symlink));
  }
  return tar(...members);
}
