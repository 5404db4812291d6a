/** Images whose documents lie: about digests, sizes, counts, types and each other. */

import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  addBlob,
  archiveOf,
  blobName,
  bytesOf,
  type Files,
  type ImageSpec,
  type Json,
  type JsonObject,
  ociFiles,
  sha256,
  writeFiles,
} from "../helpers/image-builder.ts";
import { file, tar } from "../helpers/tar-builder.ts";
import { type Hostile, refused } from "./refusal.ts";

const LAYER = tar(file("a", "x"));
const OTHER = sha256("something else");
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";

const image = (changes: Partial<ImageSpec>): Files => ociFiles([{ layers: [LAYER], ...changes }]);
const manifestWith = (changes: JsonObject): Files => image({ manifest: (manifest) => ({ ...manifest, ...changes }) });
const configWith = (changes: JsonObject): Files => image({ config: (config) => ({ ...config, ...changes }) });
const layerWith = (changes: JsonObject): Files =>
  image({
    manifest: (manifest) => ({ ...manifest, layers: [{ ...(manifest.layers as JsonObject[])[0], ...changes }] }),
  });
const indexWith = (manifests: Json): Files => ociFiles([{ layers: [LAYER] }], (index) => ({ ...index, manifests }));

/** The files with one blob's bytes changed in place: same name, same size. */
function corrupted(files: Files, which: (bytes: Buffer) => boolean): Files {
  for (const [path, content] of files) {
    if (!Buffer.isBuffer(content) || !path.startsWith("blobs/") || !which(content)) continue;
    const bytes = Buffer.from(content);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    return new Map(files).set(path, bytes);
  }
  throw new Error("no such blob");
}

function without(files: Files, which: (bytes: Buffer) => boolean): Files {
  return new Map(
    [...files].filter(([path, content]) => !(path.startsWith("blobs/") && Buffer.isBuffer(content) && which(content))),
  );
}

const isLayer = (bytes: Buffer): boolean => bytes.length === LAYER.length;
const isConfig = (bytes: Buffer): boolean => bytes.includes("rootfs");
const isManifest = (bytes: Buffer): boolean => bytes.includes("schemaVersion");

const deep = (open: string, close: string): Buffer => Buffer.from(open.repeat(200_000) + close.repeat(200_000));

/** Indexes that point at each other: each level names the next `width` times. */
function nested(levels: number, width: number): Files {
  const files = ociFiles([{ layers: [LAYER] }]);
  const index = JSON.parse(String(files.get("index.json"))) as { manifests: JsonObject[] };
  let descriptor = index.manifests[0] ?? {};
  for (let level = 0; level < levels; level++) {
    const manifests = Array.from({ length: width }, () => descriptor);
    descriptor = addBlob(files, bytesOf({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests }), INDEX_TYPE);
  }
  return files.set("index.json", bytesOf({ schemaVersion: 2, manifests: [descriptor] }));
}

/** Two indexes that name each other, which takes a false digest in one of them. */
function circle(): Files {
  const files = ociFiles([{ layers: [LAYER] }]);
  const second = { mediaType: INDEX_TYPE, digest: OTHER, size: 300 };
  const first = addBlob(files, bytesOf({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [second] }), INDEX_TYPE);
  files.set(blobName(OTHER), bytesOf({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [first] }));
  return files.set("index.json", bytesOf({ schemaVersion: 2, manifests: [first] }));
}

const CLAIMS: readonly Hostile[] = [
  {
    name: "a layer blob that was changed is refused",
    source: () => corrupted(image({}), isLayer),
    says: /sha256:|digest/,
  },
  {
    name: "a config that was changed is refused",
    source: () => corrupted(image({}), isConfig),
    says: /config|sha256:/,
  },
  {
    name: "a manifest that was changed is refused",
    source: () => corrupted(image({}), isManifest),
    says: /manifest|sha256:/,
  },
  {
    name: "a layer that is smaller than its descriptor says is refused",
    source: () => [{ tar: LAYER, size: LAYER.length + 1 }],
    says: /size|bytes|sha256:/,
  },
  {
    name: "a layer that is larger than its descriptor says is refused",
    source: () => [{ tar: LAYER, size: LAYER.length - 512 }],
    says: /size|bytes|sha256:/,
  },
  {
    name: "a diffID that is not the tar's is refused",
    source: () => [{ tar: LAYER, compression: "gzip", diffId: OTHER }],
    says: /diffID|sha256:/i,
  },
  { name: "a layer whose blob is missing is refused", source: () => without(image({}), isLayer), says: /sha256:/ },
  { name: "a manifest that is missing is refused", source: () => without(image({}), isManifest), says: /sha256:/ },
  {
    name: "more diffIDs than layers are refused",
    source: () =>
      image({ config: (config) => ({ ...config, rootfs: { type: "layers", diff_ids: [sha256(LAYER), OTHER] } }) }),
    says: /diff_ids|diffID|layers/i,
  },
  {
    name: "fewer diffIDs than layers are refused",
    source: () => image({ config: (config) => ({ ...config, rootfs: { type: "layers", diff_ids: [] } }) }),
    says: /diff_ids|diffID|layers/i,
  },
  {
    name: "a digest that is a path is refused",
    source: ({ outside }) => layerWith({ digest: `sha256:../../../../../..${outside}/passwd` }),
    says: /digest/,
  },
  { name: "a digest in capitals is refused", source: () => layerWith({ digest: OTHER.toUpperCase() }), says: /digest/ },
  { name: "a digest that is a number is refused", source: () => layerWith({ digest: 12 }), says: /digest/ },
  { name: "a size that is a string is refused", source: () => layerWith({ size: "2048" }), says: /size/ },
  { name: "a size below zero is refused", source: () => layerWith({ size: -1 }), says: /size/ },
  { name: "a size that is not whole is refused", source: () => layerWith({ size: 1.5 }), says: /size/ },
  { name: "a size beyond every number is refused", source: () => layerWith({ size: 1e300 }), says: /size/ },
  { name: "an index that points at itself through another is refused", source: () => circle(), says: /sha256:|index/ },
  { name: "a chain of a thousand indexes is refused", source: () => nested(1000, 1), says: /index|nested|deep/i },
  {
    name: "indexes that name each other ten times over ten levels are refused",
    source: () => nested(10, 10),
    says: /index|nested|deep|many|manifests/i,
  },
];

const DOCUMENTS: readonly Hostile[] = [
  {
    name: "an index.json that is not JSON is refused",
    source: () => image({}).set("index.json", Buffer.from("{")),
    says: /index\.json/,
  },
  {
    name: "an index.json that is not an object is refused",
    source: () => image({}).set("index.json", Buffer.from("[]")),
    says: /index/,
  },
  {
    name: "an index.json of 64 MiB is refused",
    source: () => image({}).set("index.json", Buffer.alloc(64 << 20, " ")),
    says: /index\.json/,
  },
  {
    name: "an index.json of 200,000 nested lists is refused",
    source: () => image({}).set("index.json", deep("[", "]")),
    says: /index/,
  },
  {
    name: "a manifest of 200,000 nested objects is refused",
    source: () => image({ manifest: () => deep('{"a":', "}") }),
    says: /manifest|JSON/,
  },
  {
    name: "a manifest of 32 MiB is refused",
    source: () => manifestWith({ annotations: { a: "x".repeat(32 << 20) } }),
    says: /manifest|sha256:/,
  },
  {
    name: "a config of 64 MiB is refused",
    source: () => configWith({ author: "x".repeat(64 << 20) }),
    says: /config|sha256:/,
  },
  {
    name: "a manifest that is null is refused",
    source: () => image({ manifest: () => Buffer.from("null") }),
    says: /manifest/,
  },
  {
    name: "layers that are an object are refused",
    source: () => manifestWith({ layers: { length: 1 } }),
    says: /layers/,
  },
  { name: "a layer that is a string is refused", source: () => manifestWith({ layers: ["x"] }), says: /layers/ },
  { name: "a config descriptor that is null is refused", source: () => manifestWith({ config: null }), says: /config/ },
  { name: "a media type that is a list is refused", source: () => layerWith({ mediaType: ["x"] }), says: /mediaType/ },
  {
    name: "annotations that are not strings are refused",
    source: () => layerWith({ annotations: { a: { b: 1 } } }),
    says: /annotations/,
  },
  { name: "manifests that are a string are refused", source: () => indexWith("x"), says: /manifests/ },
  { name: "an index without manifests is refused", source: () => indexWith([]), says: /image|manifests/ },
  {
    name: "a rootfs without diff_ids is refused",
    source: () => configWith({ rootfs: { type: "layers" } }),
    says: /diff_ids/,
  },
  {
    name: "a rootfs of another type is refused",
    source: () => configWith({ rootfs: { type: "windows", diff_ids: [sha256(LAYER)] } }),
    says: /rootfs/,
  },
  {
    name: "diff_ids that are numbers are refused",
    source: () => configWith({ rootfs: { type: "layers", diff_ids: [1] } }),
    says: /diff_ids|digest/,
  },
  {
    name: "an architecture that is an object is refused",
    source: () => configWith({ architecture: {} }),
    says: /architecture/,
  },
  { name: "a history that is a string is refused", source: () => configWith({ history: "x" }), says: /history/ },
  {
    name: "a layer of an unknown media type is refused",
    source: () => [{ tar: LAYER, mediaType: "application/x-evil" }],
    exit: 6,
    says: /application\/x-evil/,
  },
  {
    name: "an encrypted layer is refused",
    source: () => [{ tar: LAYER, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip+encrypted" }],
    exit: 6,
    says: /encrypted/,
  },
  {
    name: "a layout of another version is refused",
    source: () => image({}).set("oci-layout", bytesOf({ imageLayoutVersion: "2.0.0" })),
    exit: 6,
    says: /2\.0\.0/,
  },
  {
    name: "a manifest of schema version 1 is refused",
    source: () => manifestWith({ schemaVersion: 1 }),
    exit: 6,
    says: /schemaVersion|schema/,
  },
  {
    name: "a manifest said to be an index is refused",
    source: () => image({ descriptor: (descriptor) => ({ ...descriptor, mediaType: INDEX_TYPE }) }),
    says: /manifest|index|mediaType/,
  },
  {
    name: "an index said to be a manifest is refused",
    source: () => {
      const files = nested(1, 1);
      const index = JSON.parse(String(files.get("index.json"))) as { manifests: JsonObject[] };
      return files.set(
        "index.json",
        bytesOf({ schemaVersion: 2, manifests: [{ ...index.manifests[0], mediaType: MANIFEST_TYPE }] }),
      );
    },
    says: /manifest|index|config|mediaType/,
  },
];

const REFERENCES = [
  "../../../etc",
  "lower/UPPER:tag",
  "a b",
  "name:",
  "name:tag:tag",
  ":tag",
  "name@sha256:12",
  "a//b",
  "-a/b",
  "\u001b[31mred",
  "x\0y",
  "n".repeat(300),
  `a:${"t".repeat(129)}`,
];

const NAMES: readonly Hostile[] = REFERENCES.map((reference) => ({
  name: `the reference ${JSON.stringify(reference.slice(0, 20))} in an index is refused`,
  source: () =>
    image({ descriptor: (descriptor) => ({ ...descriptor, annotations: { "io.containerd.image.name": reference } }) }),
  says: /reference|name/,
}));

const SOURCES: readonly Hostile[] = [
  { name: "an empty file is refused", source: () => Buffer.alloc(0), says: /source/ },
  { name: "a file of garbage is refused", source: () => Buffer.alloc(8192, "nonsense"), says: /source/ },
  { name: "a tar that is no image is refused", source: () => tar(file("README", "x")), says: /source/ },
  {
    name: "an archive that is cut short is refused",
    source: () => archiveOf(image({})).subarray(0, 2048),
    says: /source/,
  },
  {
    name: "a layout whose blob is a fifo is refused and does not hang",
    source: ({ scratch }) => {
      const files = image({});
      const root = writeFiles(join(scratch, "layout"), without(files, isLayer));
      spawnSync("mkfifo", [join(root, blobName(sha256(LAYER)))]);
      return root;
    },
    says: /sha256|fifo|file/,
  },
  {
    name: "a layout whose index.json is a directory is refused",
    source: ({ scratch }) => {
      const files = image({});
      files.delete("index.json");
      const root = writeFiles(join(scratch, "layout"), files);
      mkdirSync(join(root, "index.json"));
      return root;
    },
    says: /index\.json/,
  },
];

for (const fixture of [...CLAIMS, ...DOCUMENTS, ...NAMES, ...SOURCES]) refused(fixture);
