/** What the methods of a store can be given. */

/** For everything that can take long: it ends with the signal's reason, and leaves the store in order. */
export interface Cancellable {
  readonly signal?: AbortSignal;
}

/** See `Store.open`. */
export interface OpenOptions {
  /** Make the store if there is none. Default true. */
  readonly create?: boolean;
}

/** See `Store.import`. */
export interface ImportOptions extends Cancellable {
  /** The name to give the image instead of those in the source. */
  readonly name?: string;
  /** "OS/ARCH" or "OS/ARCH/VARIANT", where the source has several. Default: this machine's. */
  readonly platform?: string;
  /** The source is the tar of a root file system, not an image. */
  readonly rootfs?: boolean;
  /** The most bytes that a layer may have, unpacked. Default 64 GiB. */
  readonly maxLayerBytes?: number;
  /** The most entries that a layer may have. Default 10 million. */
  readonly maxEntries?: number;
}

/** See `Store.prepare`. */
export interface PrepareOptions extends Cancellable {
  /** The snapshot's name. Default: the image's, with four random digits. */
  readonly name?: string;
  /** A view, which cannot be changed. */
  readonly readOnly?: boolean;
  /** Give a new snapshot what a runtime wants to find, such as /etc/resolv.conf; it is never committed. */
  readonly init?: boolean;
  /** Options of overlayfs, separated by commas: "index=on,redirect_dir=on". */
  readonly options?: string;
}

/** See `Store.mount`. */
export interface MountOptions extends PrepareOptions {
  /** The directory to mount on; made if its parent exists. Default: a directory of the store. */
  readonly target?: string;
  /** What makes the mount. "auto", the default, is the kernel's overlayfs, and our FUSE server where that refuses. */
  readonly backend?: "auto" | "kernel" | "fuse";
}

/** See `Store.commit`. */
export interface CommitOptions extends Cancellable {
  /** Changes of the image's config, each as a line of a Dockerfile: `CMD ["sh"]`, `ENV A=b`. */
  readonly changes?: readonly string[];
  /** Comment in the image's history. */
  readonly message?: string;
  readonly author?: string;
  /** Of the new layer. Default "gzip". */
  readonly compression?: "gzip" | "zstd" | "none";
  /** Default true. false: holes of sparse files are zeros in the layer, which docker and podman need to save or push it. */
  readonly sparse?: boolean;
}

/** See `Store.save`. */
export interface SaveOptions extends Cancellable {
  /** Default: an OCI layout to a directory, else an OCI archive. */
  readonly format?: "oci-archive" | "oci-layout" | "docker-archive";
}

/** See `Store.check`. */
export interface CheckOptions extends Cancellable {
  /** Read every file of every unpacked layer too. */
  readonly deep?: boolean;
  /** Take away what is damaged and can be made again, and blobs that are damaged. */
  readonly repair?: boolean;
}

/** See `Store.collectGarbage`. */
export interface CollectOptions extends Cancellable {
  /** Only tell what would go. */
  readonly dryRun?: boolean;
}
