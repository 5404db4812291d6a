/** With which options a snapshot is mounted: what the user asks for, what its last mount had, what its changes need. */

import { UsageError } from "../src/errors.ts";
import { checkOverlayOptions, type OverlayOptions, parseOverlayOptions } from "../src/mount/overlay-options.ts";
import { hasIndexEntries } from "../src/overlay/indexed-tree.ts";
import type { Snapshot } from "./snapshots/snapshots.ts";

export interface MountOptions {
  readonly options: OverlayOptions;
  /** Why the kernel cannot mount it with these; null if it can. */
  readonly notByKernel: string | null;
}

/**
 * The options to mount with: `asked`, else those of the last mount. `userxattr` decides how changes are marked, so a
 * snapshot keeps what it began with.
 * @throws {UsageError} `ERR_MOUNT_OPTION_CONFLICT`
 */
export function optionsFor(snapshot: Snapshot, asked: OverlayOptions | undefined): MountOptions {
  const first = parseOverlayOptions(snapshot.options);
  const options = asked ?? first;
  checkOverlayOptions(options, snapshot.upperdir !== null);
  if (snapshot.upperdir === null || (options.userxattr ?? false) === (first.userxattr ?? false)) {
    return withIndex(snapshot, options);
  }
  const state = first.userxattr ? "it was made with userxattr and needs it" : "it was made without userxattr";
  const message = `Cannot mount snapshot "${snapshot.name}" with these options: ${state}`;
  throw new UsageError("ERR_MOUNT_OPTION_CONFLICT", message, { data: { name: snapshot.name } });
}

/**
 * A workdir with an index has files of lower layers that show under several names, and only a mount that reads the index
 * shows them so.
 */
function withIndex({ workdir }: Snapshot, options: OverlayOptions): MountOptions {
  if (workdir === null || options.index !== undefined || !hasIndexEntries(workdir))
    return { options, notByKernel: null };
  if (!options.userxattr) return { options: { ...options, index: true }, notByKernel: null };
  return { options, notByKernel: "hard links were changed through FUSE, and the kernel has no index with userxattr" };
}

/** What its changes show depends on the options of the last mount; `volatile` is only of the mount that asks for it. */
export function optionsToKeep(snapshot: Snapshot, { volatile: _, ...options }: OverlayOptions): OverlayOptions {
  const { volatile } = parseOverlayOptions(snapshot.options);
  return { ...options, ...(volatile === undefined ? {} : { volatile }) };
}
