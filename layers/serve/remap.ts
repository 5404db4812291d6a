/**
 * Snapshots for containers with a user namespace of their own. By two labels (core/snapshots/snapshotter.go) a client asks for
 * the image's owners as the container's. Who mounts is told by options, and gives lowerdirs other ids by mounts of them
 * (mount_setattr(2)), which the upperdir cannot have. containerd 2 can, and asks for it if "remap-ids" is among the plugin's
 * capabilities. Without that a client changes the owners in a snapshot of its own first, and sends the labels all the same.
 */

import { UsageError } from "../../src/errors.ts";
import type { Labels } from "../../src/meta/held-snapshots.ts";
import { formatRanges, hostIdOf, type IdMappings, parseIdMappings, rootOf } from "../../src/mount/id-mapping.ts";
import { joinHost } from "../../src/paths.ts";
import { AT_FDCWD } from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";
import { heldDirectory } from "../layout.ts";
import type { Store } from "../store.ts";

const UIDS_LABEL = "containerd.io/snapshot/uidmapping";
const GIDS_LABEL = "containerd.io/snapshot/gidmapping";

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The ids that the labels ask for; null if they ask for none.
 * @throws {UsageError} `ERR_ID_MAPPING` if they cannot be read, or one is there without the other, which nobody mounts by
 */
export function mappingsOf(labels: Labels): IdMappings | null {
  const [uids, gids] = [labels[UIDS_LABEL], labels[GIDS_LABEL]];
  if (uids === undefined && gids === undefined) return null;
  if (uids !== undefined && gids !== undefined) {
    return { uids: parseIdMappings(uids.split(",")), gids: parseIdMappings(gids.split(",")) };
  }
  const message = `Cannot map the ids of a snapshot: it takes both labels, "${UIDS_LABEL}" and "${GIDS_LABEL}"`;
  throw new UsageError("ERR_ID_MAPPING", message);
}

/** True if the labels ask for other ids, readable or not. */
export function asksForIds(labels: Labels): boolean {
  return labels[UIDS_LABEL] !== undefined || labels[GIDS_LABEL] !== undefined;
}

/** Of the upperdir of a snapshot that overlayfs mounts by these ids: who the root of the tree below is there. */
export function mappedOwner(store: Store, { uids, gids }: IdMappings, parent: number): Owner {
  const root = rootOf({ uids, gids });
  const below = statAt(AT_FDCWD, joinHost(heldDirectory(store.layout, parent), "fs", ".")); // it may be a link
  return { uid: hostIdOf(uids, below.uid) ?? root.uid, gid: hostIdOf(gids, below.gid) ?? root.gid };
}

/** As containerd reads them. */
export function kernelWords({ uids, gids }: IdMappings): readonly string[] {
  return [`uidmap=${formatRanges(uids, ",")}`, `gidmap=${formatRanges(gids, ",")}`];
}

/** As our FUSE server reads them. */
export function fuseWords({ uids, gids }: IdMappings): readonly string[] {
  return [`uidmapping=${formatRanges(uids, ":")}`, `gidmapping=${formatRanges(gids, ":")}`];
}
