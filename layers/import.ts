/** Import: an image source to images in the store. The source is sniffed; every digest is verified on the way in. */

import { type ChainId, chainIdOf, type DiffId } from "../src/digest.ts";
import { UsageError } from "../src/errors.ts";
import type { HostPath } from "../src/paths.ts";
import { type AddedLayer, LayerAdder } from "./add-layers.ts";
import { type ApplyLimits, DEFAULT_LIMITS } from "./apply/limits.ts";
import { createTemporary } from "./content/temporary.ts";
import { openSource } from "./formats/open-source.ts";
import type { ImageSource, SourceImage } from "./formats/source.ts";
import { addImage } from "./images.ts";
import { acquireLock } from "./locks.ts";
import type { Descriptor, Platform } from "./oci/descriptor.ts";
import { encodeImageConfig } from "./oci/image-config.ts";
import { encodeManifest } from "./oci/manifest.ts";
import { layerMediaType } from "./oci/media-types.ts";
import { formatReference, parseReference } from "./oci/reference.ts";
import { followImages } from "./podman/follow.ts";
import { createdNow } from "./source-date.ts";
import type { Store } from "./store.ts";

export interface ImportOptions {
  /** The name to give the image instead of those in the source. */
  readonly name?: string;
  readonly platform?: Platform;
  /** The source is the tar of a root file system, not an image. */
  readonly rootfs?: boolean;
  readonly limits?: Partial<ApplyLimits>;
  /** The most bytes of an archive that has to be spooled. Default 128 GiB. */
  readonly maxArchiveBytes?: number;
  readonly signal?: AbortSignal;
  /** Called about ten times a second, and more often while what cannot be read in place is spooled. */
  readonly onProgress?: (progress: ImportProgress) => void;
}

/** Bytes of layer blobs, compressed; before, of what is spooled. */
export interface ImportProgress {
  readonly doneBytes: number;
  /** 0 while it is not known. */
  readonly totalBytes: number;
}

export interface ImportedImage {
  /** In full ("docker.io/library/debian:12"); null if the source gives no name. */
  readonly reference: string | null;
  /** Of the manifest. */
  readonly digest: string;
}

const PROGRESS_INTERVAL_MS = 100;

/**
 * Imports every image of `source`, a path or "-" for standard input, or what `openImport` has made of one with the same
 * options, which is disposed. Images that are complete stay if a later one fails, and finished layers do too: the next
 * try continues there.
 * @returns one entry for each reference, in the source's order
 */
export async function importSource(
  store: Store,
  source: string | ImageSource,
  options: ImportOptions = {},
): Promise<readonly ImportedImage[]> {
  const { signal, onProgress } = options;
  const limits = limitsOf(options);
  const name = nameOf(options);
  await using _gc = await acquireLock(store.layout, "gc", "shared", signal === undefined ? {} : { signal });
  await using temporary = createTemporary(store.layout, "import");
  await using opened = typeof source === "string" ? await openImport(source, temporary.path, options) : source;
  await using adder = new LayerAdder(
    store,
    limits,
    opened.images.reduce((count, image) => count + image.layers.length, 0),
    signal,
  );
  if (!adder.unpacks) store.logger.warn("import.unpack.skipped", { reason: "it takes root; mount as root unpacks" });
  signal?.throwIfAborted();
  using _progress = reportProgress(opened, adder, onProgress);
  const imported: ImportedImage[] = [];
  for (const { image, added } of startAll(opened.images, adder)) {
    const layers = await cancellable(added, signal);
    const references = name === null ? image.references : [name];
    const digest = await recordImage(store, image, layers, references);
    if (references.length === 0) imported.push({ reference: null, digest });
    for (const reference of references) imported.push({ reference, digest });
  }
  await followImages(store, { signal, onProgress });
  return imported;
}

/**
 * Opens a source as `importSource` does, for who has no store yet and makes none for what is no image. What has to be
 * spooled is, on the file system of the directory `temporary`.
 * @throws as `openSource`; {UsageError} if the images cannot have the name in `options`
 */
export async function openImport(
  source: string,
  temporary: HostPath,
  options: ImportOptions = {},
): Promise<ImageSource> {
  const { platform, rootfs = false, signal, onProgress } = options;
  const name = nameOf(options);
  const opened = await openSource(source, {
    temporary,
    rootfs,
    ignoreNames: name !== null,
    limitBytes: rootfs ? limitsOf(options).maxLayerBytes : options.maxArchiveBytes, // a rootfs is the layer
    platform,
    signal,
    onSpooled: (doneBytes) => onProgress?.({ doneBytes, totalBytes: 0 }),
  });
  if (name === null || opened.images.length < 2) return opened;
  await opened[Symbol.asyncDispose]();
  throw new UsageError(
    "ERR_NAME_AMBIGUOUS",
    `Cannot name "${name}": the source has ${opened.images.length} images; import without --name, then use "tag"`,
  );
}

function limitsOf({ limits }: ImportOptions): ApplyLimits {
  return { ...DEFAULT_LIMITS, ...limits };
}

/** In full; null if the source is to give the names. */
function nameOf({ name }: ImportOptions): string | null {
  return name === undefined ? null : formatReference(parseReference(name));
}

/** Asks for the layers of all images at once, so that no core waits for the end of an image. */
function startAll(
  images: readonly SourceImage[],
  adder: LayerAdder,
): readonly { readonly image: SourceImage; readonly added: Promise<readonly AddedLayer[]> }[] {
  return images.map((image) => {
    const added = Promise.all(addLayersOf(image, adder));
    added.catch(() => undefined); // awaited in turn: an image before it may fail first
    return { image, added };
  });
}

function addLayersOf(image: SourceImage, adder: LayerAdder): readonly Promise<AddedLayer>[] {
  const promises: Promise<AddedLayer>[] = [];
  let parent: ChainId | null = null;
  let parentAdded: Promise<unknown> = Promise.resolve();
  for (const { descriptor, diffId, location } of image.layers) {
    const [digest, sizeBytes] = [descriptor?.digest ?? null, descriptor?.size ?? null];
    const added = adder.add({ location, digest, sizeBytes, diffId, parent, parentAdded });
    promises.push(added);
    parentAdded = added;
    if (diffId !== null) parent = chainIdOf(parent, diffId);
  }
  return promises;
}

/** Rejects as soon as `signal` is aborted; what is under way ends when the adder is disposed. */
async function cancellable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function recordImage(
  store: Store,
  image: SourceImage,
  layers: readonly AddedLayer[],
  references: readonly string[],
): Promise<string> {
  const config =
    image.config ??
    encodeImageConfig(
      rootfsConfig(
        image,
        layers.map((layer) => layer.diffId),
      ),
    );
  const manifest = image.manifest ?? encodeManifest(config.descriptor, layers.map(describeLayer));
  return await addImage(store, { manifest, config, references });
}

function describeLayer({ digest, sizeBytes, compression }: AddedLayer): Descriptor {
  return { mediaType: layerMediaType(compression), digest, size: sizeBytes };
}

/** The config of an image made from the tar of a root file system. */
function rootfsConfig(image: SourceImage, diffIds: readonly DiffId[]): Parameters<typeof encodeImageConfig>[0] {
  const created = createdNow();
  return {
    created,
    ...image.platform,
    config: {},
    rootfs: { type: "layers", diff_ids: diffIds },
    history: [{ created, created_by: "layerctl import --rootfs" }],
  };
}

function reportProgress(source: ImageSource, adder: LayerAdder, onProgress: ImportOptions["onProgress"]): Disposable {
  if (onProgress === undefined) return { [Symbol.dispose]: () => undefined };
  const totalBytes = source.images
    .flatMap((image) => image.layers)
    .reduce((total, layer) => total + layer.location.sizeBytes, 0);
  const report = (): void => onProgress({ doneBytes: adder.bytesDone, totalBytes });
  const timer = setInterval(report, PROGRESS_INTERVAL_MS);
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      report();
    },
  };
}
