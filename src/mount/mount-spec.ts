/** A mount as data: what a snapshot gives and a backend makes live. */

import type { HostPath } from "../paths.ts";
import type { IdMappings } from "./id-mapping.ts";
import type { OverlayOptions } from "./overlay-options.ts";

/** A user namespace, and how it maps ids. */
export interface IdMap extends IdMappings {
  /** It, open. */
  readonly userNamespace: number;
}

/** A stack of layers to be shown at a directory. All paths are absolute. */
export interface MountSpec {
  /** Top first. At least one; at least two without an upperdir, because overlayfs wants it so. */
  readonly lowerdirs: readonly HostPath[];
  /** Where changes go; null for a read-only view. */
  readonly upperdir: HostPath | null;
  /** An empty directory on the file system of `upperdir`, for overlayfs' own use; null without an upperdir. */
  readonly workdir: HostPath | null;
  /** An existing directory. */
  readonly target: HostPath;
  readonly readOnly: boolean;
  readonly options: OverlayOptions;
  /** The layers keep owners in attributes, and have their overlay attributes in the user namespace: not for the kernel. */
  readonly ownersInAttributes?: boolean;
  /** The ids on disk are those of a user namespace, and are shown as it maps them. */
  readonly idMap?: IdMap;
}
