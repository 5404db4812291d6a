/** The containers of a store, for lists. */

import { type ContainerRow, listContainers } from "../../src/meta/containers.ts";
import { getImage } from "../../src/meta/images.ts";
import { getSnapshotById, type SnapshotRow } from "../../src/meta/snapshots.ts";
import { imageOfRow } from "../image.ts";
import type { Store } from "../store.ts";
import { type NetworkState, networkState } from "./network-state.ts";
import type { ContainerOptions } from "./options.ts";
import { commandOf } from "./spec.ts";

/** A container and its snapshot. */
export interface ContainerEntry {
  readonly snapshot: SnapshotRow;
  readonly row: ContainerRow;
  /** What it runs. */
  readonly command: readonly string[];
  readonly network: NetworkState;
}

/** Every container, oldest first, as the rows have them: after `repairContainers` they are right. */
export function listContainerEntries(store: Store): readonly ContainerEntry[] {
  return listContainers(store.db).flatMap((row) => {
    const snapshot = getSnapshotById(store.db, row.snapshot);
    if (snapshot === null) return [];
    const image = snapshot.image === null ? null : getImage(store.db, snapshot.image);
    const config = image === null ? {} : (imageOfRow(store, image).config.config ?? {});
    const command = commandOf(config, JSON.parse(row.options) as ContainerOptions);
    return [{ snapshot, row, command, network: networkState(store, row.snapshot) }];
  });
}
