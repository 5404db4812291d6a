/**
 * Images put straight into a store, without an import: a layer is given as a text, which stands for its blob's bytes and
 * its diffID; where it is unpacked it holds one file "file" with the text in it.
 */

import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { FileDigestWriter } from "../../layers/apply/file-digests.ts";
import type { Image } from "../../layers/image.ts";
import { addImage, resolveImage } from "../../layers/images.ts";
import { layerDirectoryName, layerFileDigests, layerTree } from "../../layers/layout.ts";
import { encodeImageConfig, type HistoryEntry } from "../../layers/oci/image-config.ts";
import { encodeManifest } from "../../layers/oci/manifest.ts";
import { OCI_CONFIG } from "../../layers/oci/media-types.ts";
import type { Store } from "../../layers/store.ts";
import { chainIdsOf, type DiffId, digestOf, hexOf } from "../../src/digest.ts";
import { insertLayer } from "../../src/meta/layers.ts";
import { bytesOf, joinHost, type LayerPath } from "../../src/paths.ts";

export interface StoredImageSpec {
  /** Base first. */
  readonly layers: readonly string[];
  /** None unless given. */
  readonly references?: readonly string[];
  /** Unpack the layers; false unless given. */
  readonly unpack?: boolean;
  readonly history?: readonly HistoryEntry[];
  /** Makes two images with the same config differ. */
  readonly annotation?: string;
}

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";

/** The diffID of the layer that stands for `text`. */
export function diffIdOfText(text: string): DiffId {
  return digestOf(`diff of ${text}`) as DiffId;
}

/** Adds the image with its blobs, and its layers if they are to be unpacked. */
export async function addStoredImage(store: Store, spec: StoredImageSpec): Promise<Image> {
  const diffIds = spec.layers.map(diffIdOfText);
  const descriptors = [];
  for (const text of spec.layers) {
    const digest = await store.blobs.put(Buffer.from(text));
    const annotations = spec.annotation === undefined ? {} : { annotations: { note: spec.annotation } };
    descriptors.push({ mediaType: LAYER_TYPE, digest, size: Buffer.byteLength(text), ...annotations });
  }
  const rootfs = { type: "layers" as const, diff_ids: diffIds };
  const config = encodeImageConfig({ os: "linux", architecture: "amd64", rootfs, history: spec.history ?? [] });
  const manifest = encodeManifest({ ...config.descriptor, mediaType: OCI_CONFIG }, descriptors);
  const digest = await addImage(store, { manifest, config, references: spec.references ?? [] });
  if (spec.unpack === true) unpackTexts(store, spec.layers);
  return resolveImage(store, digest);
}

/** Unpacks the layers that stand for these texts, base first. */
export function unpackTexts(store: Store, texts: readonly string[]): void {
  const chains = chainIdsOf(texts.map(diffIdOfText));
  for (const [index, text] of texts.entries()) {
    const chainId = chains[index];
    if (chainId === undefined) continue;
    const directory = layerDirectoryName(chainId);
    const tree = layerTree(store.layout, directory);
    mkdirSync(bytesOf(tree), { recursive: true, mode: 0o755 });
    writeFileSync(bytesOf(joinHost(tree, "file")), text);
    const fd = openSync(bytesOf(layerFileDigests(store.layout, directory)), "w");
    const writer = new FileDigestWriter(fd);
    writer.add(Buffer.from(hexOf(digestOf(text)), "hex").toString("latin1"), "file" as LayerPath);
    writer.flush();
    closeSync(fd);
    insertLayer(store.db, {
      chainId,
      parent: chains[index - 1] ?? null,
      diffId: diffIdOfText(text),
      directory,
      sizeBytes: text.length,
      inodes: 2,
      selfContained: true,
      createdAtMs: Date.now(),
    });
  }
}
