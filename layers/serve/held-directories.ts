/** What a snapshot of another engine has on disk, `held/ID`: made, and taken away in the background. */

import { mkdirSync, renameSync } from "node:fs";
import { isErrno } from "../../src/errors.ts";
import type { HeldSnapshotRow } from "../../src/meta/held-snapshots.ts";
import { NATIVE } from "../../src/overlay/layer-form.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { removeTree } from "../../src/sys/remove-tree.ts";
import { createTemporary, type Temporary } from "../content/temporary.ts";
import { heldDirectory } from "../layout.ts";
import { copyRootAttributes } from "../snapshots/root-attributes.ts";
import type { Store } from "../store.ts";
import type { SlowWork } from "./slow-work.ts";

/** What a snapshot has on disk. A view on top of another shows that alone. */
export function makeDirectories(store: Store, { id, kind, parent }: HeldSnapshotRow): void {
  if (kind === "view" && parent !== null) return;
  const directory = makeHeldDirectory(store, id);
  mkdirSync(bytesOf(joinHost(directory, "fs")), { mode: 0o755 });
  if (kind === "active") mkdirSync(bytesOf(joinHost(directory, "work")), { mode: 0o711 });
  if (parent === null) return;
  const below = joinHost(heldDirectory(store.layout, parent.id), "fs", "."); // it may be a link
  copyRootAttributes(below, joinHost(directory, "fs"), NATIVE);
}

/** `held/ID`, empty. What lies there is of a transaction that was undone: no row has this id. */
export function makeHeldDirectory(store: Store, id: number): HostPath {
  const path = heldDirectory(store.layout, id);
  try {
    mkdirSync(bytesOf(path), { mode: 0o711 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    removeTree(path);
    mkdirSync(bytesOf(path), { mode: 0o711 });
  }
  return path;
}

/** Directories on their way off the disk. Disposing waits for them. */
export class Trash implements AsyncDisposable {
  readonly #store: Store;
  readonly #slow: SlowWork;
  readonly #removals = new Set<Promise<void>>();
  /** Where directories are until they are gone. */
  #place: Temporary | null = null;
  #discarded = 0;

  constructor(store: Store, slow: SlowWork) {
    this.#store = store;
    this.#slow = slow;
  }

  /** Takes a directory away under its name at once; what is in it goes in the background. */
  discard(path: HostPath): void {
    this.#place ??= createTemporary(this.#store.layout, "trash");
    this.#discarded += 1;
    const tree = joinHost(this.#place.path, String(this.#discarded));
    try {
      renameSync(bytesOf(path), bytesOf(tree));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) this.#store.logger.warn("held.discard", { path, error: String(error) });
      return; // gc and Cleanup have another try
    }
    const removal = this.#slow
      .remove(tree)
      .catch((error: unknown) => this.#store.logger.warn("held.discard", { path, error: String(error) }))
      .finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  /** Waits until what was discarded is off the disk. */
  async settled(): Promise<void> {
    await Promise.all(this.#removals);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settled();
    await this.#place?.[Symbol.asyncDispose]();
  }
}
