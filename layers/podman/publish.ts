/**
 * The additional image store of podman, buildah, skopeo and CRI-O (containers/storage, "additionalimagestores"): a directory
 * in the form of containers/storage's own, in which every layer is a link to where our store has it unpacked. Images run
 * from there; nothing is copied.
 *
 * It follows from the store, and is brought up to date after every change of images. Readers take no lock that we could
 * hold: so directories come before the records that name them and go after them, and records are replaced as a whole.
 */

import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { ConflictError, isErrno, UnsupportedError } from "../../src/errors.ts";
import { getLayer } from "../../src/meta/layers.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { replaceFile } from "../../src/sys/replace-file.ts";
import type { Image } from "../image.ts";
import { listImages } from "../images.ts";
import { layerTree } from "../layout.ts";
import { acquireLock } from "../locks.ts";
import type { Store } from "../store.ts";
import { formOf } from "../store-form.ts";
import { ensureUnpacked } from "../unpack.ts";
import { storagesOnAny } from "./dependents.ts";
import { isPublished, type PublishOptions } from "./follow.ts";
import { layerIds } from "./identity.ts";
import { type ImageRecord, imageRecord, removeImage } from "./images.ts";
import { describeLayer, type LayerRecord, type PublishedLayer, placeLayer, removeLayer } from "./layers.ts";

/**
 * Makes the additional image store, which is then kept up to date.
 * @throws {UnsupportedError} `ERR_STORE_FORM` for a store made without root
 */
export async function startPublishing(store: Store, options: PublishOptions = {}): Promise<void> {
  if (formOf(store).override !== null) throw ownersInAttributes();
  mkdirSync(bytesOf(store.layout.podman), { recursive: true, mode: 0o700 });
  await publishImages(store, options);
}

/** @throws {ConflictError} `ERR_IMAGE_IN_USE` if podman has something on the layers that it was given */
export function refuseWhileUsed(store: Store): void {
  const storages = storagesOnAny(store);
  if (storages.length === 0) return;
  const state = `podman has containers or images on its layers in ${storages.map((path) => `"${path}"`).join(", ")}`;
  const message = `Cannot take the images from podman: ${state}; remove those with podman first`;
  throw new ConflictError("ERR_IMAGE_IN_USE", message, { data: { storages } });
}

/** Takes the additional image store away, of which nothing is in use; the images stay in the store. */
export function stopPublishing(store: Store): void {
  rmSync(bytesOf(store.layout.podman), { recursive: true, force: true });
}

function ownersInAttributes(): UnsupportedError {
  const state =
    "it was made without root and keeps owners in attributes, which podman does not read in another's store";
  return new UnsupportedError("ERR_STORE_FORM", `Cannot give the store to podman: ${state}`);
}

/**
 * Brings the additional image store up to date, if there is one. Layers that are only blobs are unpacked.
 * @throws a system error, what `ensureUnpacked` throws, and what `signal` was aborted with
 */
export async function publishImages(store: Store, options: PublishOptions = {}): Promise<void> {
  if (!isPublished(store)) return;
  const { signal } = options;
  const root = store.layout.podman;
  await using _lock = await acquireLock(store.layout, "podman", "exclusive", signal === undefined ? {} : { signal });
  for (const path of ["overlay/l", "overlay-layers", "overlay-images", "overlay-containers"]) {
    mkdirSync(bytesOf(joinHost(root, path)), { recursive: true, mode: 0o700 });
  }
  const images = listImages(store);
  for (const image of images) await ensureUnpacked(store, image.layers, signal === undefined ? {} : { signal });
  const before = readRecords<LayerRecord>(layersFile(root));
  const layers = await addLayers(store, root, images, before, options);
  const gone = before.filter(({ id }) => !layers.has(id));
  const oldImages = readRecords<ImageRecord>(imagesFile(root));
  const records = imageRecords(store, root, images, oldImages);
  writeRecords(layersFile(root), [...gone, ...layers.values()]);
  writeRecords(imagesFile(root), records);
  if (gone.length > 0) writeRecords(layersFile(root), [...layers.values()]);
  for (const { id } of oldImages) if (!records.some((record) => record.id === id)) removeImage(root, id);
  for (const { id } of gone) removeLayer(root, id);
}

/** Every layer of the images, once, as its image has it. */
function publishedLayers(store: Store, images: readonly Image[]): ReadonlyMap<string, PublishedLayer> {
  const layers = new Map<string, PublishedLayer>();
  for (const image of images) {
    const ids = layerIds(image.layers.map(({ diffId }) => diffId));
    for (const [height, layer] of image.layers.entries()) {
      const id = ids[height];
      const directory = getLayer(store.db, layer.chainId)?.directory;
      if (id === undefined || directory === undefined || layers.has(id)) continue;
      const lower = ids.slice(0, height).reverse();
      layers.set(id, { id, parent: lower[0] ?? null, lower, layer, tree: layerTree(store.layout, directory) });
    }
  }
  return layers;
}

async function addLayers(
  store: Store,
  root: HostPath,
  images: readonly Image[],
  before: readonly LayerRecord[],
  { signal, onProgress }: PublishOptions,
): Promise<ReadonlyMap<string, LayerRecord>> {
  const known = new Map(before.map((record) => [record.id, record]));
  const layers = publishedLayers(store, images);
  const sizes = [...layers.values()].filter(({ id }) => !known.has(id)).map(({ layer }) => layer.descriptor.size);
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
  let doneBytes = 0;
  const onBytes = (count: number): void => {
    doneBytes += count;
    onProgress?.({ doneBytes, totalBytes });
  };
  const records = new Map<string, LayerRecord>();
  for (const [id, layer] of layers) {
    placeLayer(root, layer); // also of one that is known: a repair may have put it elsewhere
    records.set(id, known.get(id) ?? (await describeLayer(store, root, layer, { signal, onBytes })));
  }
  return records;
}

function imageRecords(
  store: Store,
  root: HostPath,
  images: readonly Image[],
  before: readonly ImageRecord[],
): readonly ImageRecord[] {
  const byConfig = new Map<string, [Image, ...Image[]]>();
  for (const image of images) {
    const same = byConfig.get(image.configDigest);
    if (same === undefined) byConfig.set(image.configDigest, [image]);
    else same.push(image);
  }
  return [...byConfig.values()].map((same) => {
    const top = layerIds(same[0].layers.map(({ diffId }) => diffId)).at(-1);
    return imageRecord(store, root, same, top ?? null, before);
  });
}

function layersFile(root: HostPath): HostPath {
  return joinHost(root, "overlay-layers", "layers.json");
}

function imagesFile(root: HostPath): HostPath {
  return joinHost(root, "overlay-images", "images.json");
}

/** Our own file: what it holds was written by `writeRecords`. */
function readRecords<Item>(path: HostPath): readonly Item[] {
  try {
    return JSON.parse(readFileSync(bytesOf(path), "utf8")) as readonly Item[];
  } catch (error) {
    if (isErrno(error, "ENOENT") || error instanceof SyntaxError) return [];
    throw error;
  }
}

const LAST_WRITER_BYTES = 64;

/** Its lock file beside it tells who wrote last: a podman that has read the records before looks there. */
function writeRecords(path: HostPath, records: readonly object[]): void {
  replaceFile(path, JSON.stringify(records));
  replaceFile(path.replace(/json$/, "lock") as HostPath, randomBytes(LAST_WRITER_BYTES));
}
