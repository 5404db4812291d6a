/** A store as programs use it: one method for each thing that can be done, plain data in and out. */

import { EventEmitter } from "node:events";
import type { Writable } from "node:stream";
import { hostPath } from "../../src/paths.ts";
import type { Store as OpenStore } from "../store.ts";
import type {
  Change,
  CollectedGarbage,
  CommittedImage,
  ImageInfo,
  ImportedImage,
  MountedSnapshot,
  SnapshotInfo,
  StoreCheck,
  StoreUsage,
  TarResult,
} from "./documents.ts";
import { emittingLogger, type Operation, type StoreEvents } from "./events.ts";
import type {
  Cancellable,
  CheckOptions,
  CollectOptions,
  CommitOptions,
  ImportOptions,
  MountOptions,
  OpenOptions,
  PrepareOptions,
  SaveOptions,
} from "./options.ts";
import { changeOf, imageInfo, pathText, skippedOf, snapshotInfo, usageOf } from "./to-documents.ts";

/**
 * An open store of images, layers and snapshots. Several processes, the command line too, may use one store at once.
 *
 * Every method that fails throws a {@link LayerctlError}, whose class says what to do about it and whose `code` says what
 * happened, or a system error of node's. Names are those of the command line: "debian:12", a digest or its first digits.
 *
 * @example
 * ```ts
 * using store = await Store.open("/var/lib/layerctl");
 * const [image] = await store.import("debian.tar");
 * ```
 */
export class Store extends EventEmitter<StoreEvents> implements Disposable {
  readonly #store: OpenStore;

  private constructor(store: (logger: ReturnType<typeof emittingLogger>) => OpenStore) {
    super();
    this.#store = store(emittingLogger(this));
  }

  /**
   * Opens the store in `directory`, made first unless `create` is false.
   * @throws {NotFoundError} `ERR_STORE_NOT_FOUND` if there is none and `create` is false
   * @throws {UnsupportedError} `ERR_NO_FILE_TYPES` if one cannot be there
   */
  static async open(directory: string, options: OpenOptions = {}): Promise<Store> {
    const { Store: opener } = await import("../store.ts");
    return new Store((logger) => opener.open(hostPath(directory), { ...options, logger }));
  }

  /** The store's directory, absolute and without symbolic links. */
  get directory(): string {
    return pathText(this.#store.layout.root);
  }

  /** Closes the store; mounts stay. Closing it twice is safe. */
  close(): void {
    this.#store[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Imports every image of `source`: an OCI layout or archive, an archive of docker, or with `rootfs` a tar. Layers that are
   * there already are not unpacked again, and those that are finished stay if the rest fails.
   * @throws {IntegrityError} if something in it is damaged or hostile
   */
  async import(source: string, options: ImportOptions = {}): Promise<readonly ImportedImage[]> {
    const { importSource } = await import("../import.ts");
    const { parsePlatform } = await import("../oci/platform.ts");
    const { platform, maxLayerBytes, maxEntries, ...rest } = options;
    return await importSource(this.#store, source, {
      ...rest,
      ...(platform !== undefined && { platform: parsePlatform(platform) }),
      limits: {
        ...(maxLayerBytes !== undefined && { maxLayerBytes }),
        ...(maxEntries !== undefined && { maxEntries }),
      },
      onProgress: ({ doneBytes, totalBytes }) => this.#tell("import", source, doneBytes, totalBytes),
    });
  }

  /** Every image, sorted by name; those without one last. */
  async images(): Promise<readonly ImageInfo[]> {
    const { listImages } = await import("../images.ts");
    return listImages(this.#store).map(imageInfo);
  }

  /** One image. @throws {NotFoundError} `ERR_IMAGE_NOT_FOUND` */
  async image(name: string): Promise<ImageInfo> {
    const { resolveImage } = await import("../images.ts");
    return imageInfo(resolveImage(this.#store, name));
  }

  /** The config of an image (image-spec, config.md), as it is in its blob. @throws {NotFoundError} `ERR_IMAGE_NOT_FOUND` */
  async imageConfig(name: string): Promise<Readonly<Record<string, unknown>>> {
    const { resolveImage } = await import("../images.ts");
    return resolveImage(this.#store, name).config as unknown as Readonly<Record<string, unknown>>;
  }

  /** Gives an image another name, taking it from the image that has it. @returns the name in full */
  async tag(name: string, newName: string): Promise<string> {
    const { resolveImage, tagImage } = await import("../images.ts");
    return tagImage(this.#store, resolveImage(this.#store, name), newName);
  }

  /**
   * Takes names away, and images that are left without one; all of them or none.
   * @returns the digests of the images that went
   * @throws {ConflictError} `ERR_IMAGE_IN_USE` if a snapshot was made from one
   */
  async removeImages(names: readonly string[]): Promise<readonly string[]> {
    const { untagImages } = await import("../images.ts");
    const results = await untagImages(this.#store, names);
    return results.filter(({ deleted }) => deleted).map(({ digest }) => digest);
  }

  /**
   * Makes a snapshot of an image, its layers unpacked, without mounting it.
   * @throws {NotFoundError} if there is no such image
   * @throws {ConflictError} `ERR_SNAPSHOT_EXISTS`
   */
  async prepare(image: string, options: PrepareOptions = {}): Promise<SnapshotInfo> {
    const { prepareImage } = await import("../mounts.ts");
    return snapshotInfo(await prepareImage(this.#store, image, await mountRequest(options)), null);
  }

  /**
   * Mounts an image as a new snapshot, or a snapshot again. The mount outlives this process; `unmount` takes it away.
   * @throws {ConflictError} `ERR_SNAPSHOT_MOUNTED`, `ERR_TARGET_MOUNTED`
   * @throws {UnsupportedError} if this host cannot mount it
   */
  async mount(imageOrSnapshot: string, options: MountOptions = {}): Promise<MountedSnapshot> {
    const { mountImage } = await import("../mounts.ts");
    const mounted = await mountImage(this.#store, imageOrSnapshot, await mountRequest(options));
    const target = pathText(mounted.target);
    return { ...snapshotInfo(mounted.snapshot, null), target, backend: mounted.backend };
  }

  /** Unmounts a snapshot, named by its name or target, and keeps its changes. @throws {ConflictError} `ERR_MOUNT_IN_USE` */
  async unmount(nameOrTarget: string, options: Cancellable = {}): Promise<void> {
    const { unmount } = await import("../unmount.ts");
    await unmount(this.#store, nameOrTarget, options);
  }

  /** Every snapshot, oldest first, and where it is mounted. */
  async snapshots(): Promise<readonly SnapshotInfo[]> {
    const { listMounts } = await import("../mounts.ts");
    return listMounts(this.#store).map(({ snapshot, mount }) => snapshotInfo(snapshot, mount));
  }

  /** Removes a snapshot with its changes. @throws {ConflictError} if it is mounted */
  async removeSnapshot(name: string, options: Cancellable = {}): Promise<void> {
    const { removeSnapshot } = await import("../snapshots/snapshots.ts");
    await removeSnapshot(this.#store, name, options);
  }

  /**
   * What a snapshot changes in its image, or the topmost layer of an image in those below; with `other`, what turns
   * `subject` into it. Each is a snapshot, an image or a layer. Sorted by the bytes of the paths.
   */
  async diff(subject: string, other?: string, options: Cancellable = {}): Promise<readonly Change[]> {
    const diff = await this.#diff(subject, other, options);
    return diff.changes.map(changeOf);
  }

  /** As `diff`, written to `stream` as the tar of an OCI layer. The stream is not ended. */
  async diffTar(stream: Writable, subject: string, other?: string, options: Cancellable = {}): Promise<TarResult> {
    const { writeLayerTar } = await import("../diff/layer-tar.ts");
    const diff = await this.#diff(subject, other, options);
    const size = await writeLayerTar(diff, await sinkOf(stream), await this.#tarOptions("diff", subject, options));
    return { size, skipped: diff.skipped.map(skippedOf) };
  }

  /**
   * Makes an image of what a snapshot changes: its image and one layer. The snapshot stays as it is, and may stay mounted.
   * `name` is for the new image, null for none. The same change gives the same layer.
   * @throws {ConflictError} `ERR_COMMIT_CHANGING` if files change all the while, `ERR_COMMIT_VIEW`
   */
  async commit(snapshot: string, name: string | null, options: CommitOptions = {}): Promise<CommittedImage> {
    const { commitSnapshot } = await import("../commit/commit.ts");
    const committed = await commitSnapshot(this.#store, snapshot, {
      ...options,
      reference: name,
      onProgress: (doneBytes) => this.#tell("commit", snapshot, doneBytes, 0),
    });
    const { digest, configDigest, layer, diffId, skipped } = committed;
    return { digest, configDigest, layer: layer?.digest ?? null, diffId, skipped: skipped.map(skippedOf) };
  }

  /** Saves images to a file or directory, with every digest as it was. A layout that is there is added to. */
  async save(names: readonly string[], destination: string, options: SaveOptions = {}): Promise<void> {
    const { defaultSaveFormat, saveImages } = await import("../save.ts");
    const { format = defaultSaveFormat(destination), ...rest } = options;
    const subject = names.join(", ");
    await saveImages(this.#store, names, {
      ...rest,
      destination,
      format,
      onProgress: ({ doneBytes, totalBytes }) => this.#tell("save", subject, doneBytes, totalBytes),
    });
  }

  /** Writes the merged tree of a snapshot or an image to `stream` as one tar. The stream is not ended. */
  async export(stream: Writable, subject: string, options: Cancellable = {}): Promise<TarResult> {
    const { exportTree } = await import("../commit/export.ts");
    const { findSubject, treeOf } = await import("../diff/subject.ts");
    const tree = treeOf(await findSubject(this.#store, subject, options));
    const tarOptions = await this.#tarOptions("export", subject, options);
    const { sizeBytes, skipped } = await exportTree(tree, await sinkOf(stream), tarOptions);
    return { size: sizeBytes, skipped: skipped.map(skippedOf) };
  }

  /** Checks the store: rows against files, blobs against digests, and if `deep` every unpacked file. */
  async check(options: CheckOptions = {}): Promise<StoreCheck> {
    const { checkStore } = await import("../fsck.ts");
    const { isSound, findings } = await checkStore(this.#store, {
      ...options,
      onWait: () => this.emit("wait", { operation: "check" }),
      onProgress: ({ doneBytes, totalBytes }) => this.#tell("check", this.directory, doneBytes, totalBytes),
    });
    return { isSound, findings };
  }

  /** Removes what nothing reaches. */
  async collectGarbage(options: CollectOptions = {}): Promise<CollectedGarbage> {
    const { collectGarbage } = await import("../gc.ts");
    const { removed, freedBytes } = await collectGarbage(this.#store, {
      ...options,
      onWait: () => this.emit("wait", { operation: "collect" }),
    });
    return { removed: removed.map(({ kind, name, sizeBytes: size }) => ({ kind, name, size })), freedBytes };
  }

  /** Measures what the store takes. */
  async diskUsage(): Promise<StoreUsage> {
    const { measureDiskUsage } = await import("../disk-usage.ts");
    return usageOf(measureDiskUsage(this.#store));
  }

  async #diff(subject: string, other: string | undefined, options: Cancellable) {
    const { diffBelow, diffSubjects, findSubject } = await import("../diff/subject.ts");
    const first = await findSubject(this.#store, subject, options);
    if (other === undefined) return diffBelow(first, { detail: true });
    return diffSubjects(first, await findSubject(this.#store, other, options), { detail: true });
  }

  async #tarOptions(operation: Operation, subject: string, { signal }: Cancellable) {
    const { sourceDateNs } = await import("../source-date.ts");
    const epochNs = sourceDateNs();
    return {
      ...(signal !== undefined && { signal }),
      ...(epochNs !== null && { epochNs }),
      onProgress: (doneBytes: number) => this.#tell(operation, subject, doneBytes, 0),
    };
  }

  #tell(operation: Operation, subject: string, doneBytes: number, totalBytes: number): void {
    this.emit("progress", { operation, subject, doneBytes, totalBytes });
  }
}

async function sinkOf(stream: Writable) {
  const { StreamSink } = await import("./stream-sink.ts");
  return new StreamSink(stream);
}

async function mountRequest({ options, ...rest }: MountOptions) {
  if (options === undefined) return rest;
  const { parseOverlayOptions } = await import("../../src/mount/overlay-options.ts");
  return { ...rest, options: parseOverlayOptions(options) };
}
