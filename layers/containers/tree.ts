/** The tree of a container as its processes see it, running or not; of a snapshot, its merged tree. */

import { idsOf } from "../../src/exec/running-root.ts";
import { openTreeWith } from "../../src/exec/tree-with-mounts.ts";
import { getContainer } from "../../src/meta/containers.ts";
import type { IdMappings } from "../../src/mount/id-mapping.ts";
import type { HostPath } from "../../src/paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../src/sys/file.ts";
import { liveMounts } from "../live-mounts.ts";
import { mountSnapshot } from "../mounts.ts";
import { getSnapshot, type Snapshot } from "../snapshots/snapshots.ts";
import type { Store } from "../store.ts";
import { unmount } from "../unmount.ts";
import { openContainer } from "./exec.ts";
import { isHeld } from "./held.ts";
import type { ContainerOptions } from "./options.ts";
import { placedVolumes } from "./spec.ts";

/**
 * Does `work` with the open root of the tree, and how its ids are mapped if they are. One that is not mounted is mounted meanwhile, with its volumes.
 * @throws as `getSnapshot` and `mountSnapshot`, and what `work` throws
 */
export async function withTree<Result>(
  store: Store,
  name: string,
  work: (root: number, ids: IdMappings | null) => Promise<Result>,
): Promise<Result> {
  const snapshot = getSnapshot(store, name);
  const row = getContainer(store.db, snapshot.id);
  if (row !== null && isHeld(store, snapshot.id)) {
    using opened = openContainer(store, snapshot, "look into");
    return await work(opened.container.root, idsOf(opened.container));
  }
  const options = row === null ? null : (JSON.parse(row.options) as ContainerOptions); // as `createContainer` wrote it
  return await withMounted(store, snapshot, async (target) => {
    if (options !== null) {
      using tree = openTreeWith(target, placedVolumes(options, store.layout.volumes), options.readOnly);
      return await work(tree.root, null);
    }
    const root = openAt(AT_FDCWD, target, O_PATH | O_DIRECTORY);
    try {
      return await work(root, null);
    } finally {
      close(root);
    }
  });
}

async function withMounted<Result>(
  store: Store,
  snapshot: Snapshot,
  work: (target: HostPath) => Promise<Result>,
): Promise<Result> {
  const live = liveMounts(store).find((mount) => mount.snapshot === snapshot.id && mount.root === "/");
  if (live !== undefined) return await work(live.target);
  const { target } = await mountSnapshot(store, snapshot, {
    ignoreCopies: getContainer(store.db, snapshot.id) !== null,
  });
  try {
    return await work(target);
  } finally {
    await unmount(store, snapshot.name);
  }
}
