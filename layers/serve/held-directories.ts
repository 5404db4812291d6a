/** What a snapshot of another engine has on disk, `held/ID`: made, and taken away in the background. */

import { mkdirSync, renameSync } from "node:fs";
import { isErrno } from "../../src/errors.ts";
import type { HeldSnapshotRow } from "../../src/meta/held-snapshots.ts";
import { NATIVE } from "../../src/overlay/layer-form.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { AT_FDCWD, chown, symlinkAt } from "../../src/sys/file.ts";
import { removeTree } from "../../src/sys/remove-tree.ts";
import { syncDirectory } from "../../src/sys/sync.ts";
import { createTemporary, type Temporary } from "../content/temporary.ts";
import { heldDirectory, layerTree } from "../layout.ts";
import { copyRootAttributes } from "../snapshots/root-attributes.ts";
import type { Store } from "../store.ts";
import type { MountStyle } from "./held-mounts.ts";
import { mappedOwner, mappingsOf } from "./remap.ts";
import type { SlowWork } from "./slow-work.ts";

/**
 * What a snapshot has on disk. A view on top of another shows that alone. `fs` is there last, with its attributes: nothing is
 * synced, and file systems keep the order, so that where a power cut left it, it left the rest too. `style` is how it is mounted.
 */
export function makeDirectories(store: Store, snapshot: HeldSnapshotRow, { backend, remapsIds }: MountStyle): void {
  const { id, kind, parent } = snapshot;
  if (kind === "view" && parent !== null) return;
  const directory = makeHeldDirectory(store, id);
  if (kind === "active") mkdirSync(bytesOf(joinHost(directory, "work")), { mode: 0o711 });
  const fresh = joinHost(directory, "new");
  mkdirSync(bytesOf(fresh), { mode: 0o755 });
  if (parent !== null) {
    const below = joinHost(heldDirectory(store.layout, parent.id), "fs", "."); // it may be a link
    copyRootAttributes(below, fresh, NATIVE);
    const ids = remapsIds && backend === "kernel" ? mappingsOf(snapshot.labels) : null; // our FUSE maps the upperdir too
    if (ids !== null) {
      const { uid, gid } = mappedOwner(store, ids, parent.id);
      chown(AT_FDCWD, fresh, uid, gid);
    }
  }
  renameSync(bytesOf(fresh), bytesOf(joinHost(directory, "fs")));
}

/** Of a committed snapshot that is the store's layer in `directory`. Synced: nothing would make it again. */
export function makeHeldLink(store: Store, id: number, directory: string): void {
  const held = makeHeldDirectory(store, id);
  symlinkAt(pathFromHeld(store, directory), AT_FDCWD, joinHost(held, "fs"));
  syncDirectory(held);
  syncDirectory(store.layout.held);
}

/** What a symbolic link in `held/ID` says to be a layer's tree; the same from a temporary. */
export function pathFromHeld({ layout }: Store, directory: string): string {
  return `../..${layerTree(layout, directory).slice(layout.root.length)}`;
}

/** `held/ID`, empty. What lies there is of a transaction that was undone: no row has this id. */
function makeHeldDirectory(store: Store, id: number): HostPath {
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
