/**
 * Unpacks layers that the store has only as blobs: those of a commit, which writes no second copy, and those that
 * `fsck --repair` took away.
 */

import type { ChainId } from "../src/digest.ts";
import { UnsupportedError } from "../src/errors.ts";
import { getLayer } from "../src/meta/layers.ts";
import { DEFAULT_LIMITS } from "./apply/limits.ts";
import type { ImageLayer } from "./image.ts";
import { acquireLock } from "./locks.ts";
import type { Store } from "./store.ts";
import { chooseForm } from "./store-form.ts";

/**
 * Makes every layer of an image a lowerdir. Costs one look at the database for each when they all are.
 * `layers` are base first.
 * @throws {IntegrityError} if a blob is damaged
 * @throws {UnsupportedError} `ERR_NEEDS_ROOT` if some are not, and owners cannot be restored
 */
export async function ensureUnpacked(
  store: Store,
  layers: readonly ImageLayer[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  if (layers.every(({ chainId }) => getLayer(store.db, chainId) !== null)) return; // a repair may take any of them away
  if (chooseForm(store) === null) {
    const message = "Cannot unpack the layers: giving files their owners takes root; run it as root";
    throw new UnsupportedError("ERR_NEEDS_ROOT", message);
  }
  const { LayerAdder } = await import("./add-layers.ts"); // threads and hashing: a mount seldom needs them
  const { signal } = options;
  await using _gc = await acquireLock(store.layout, "gc", "shared", signal === undefined ? {} : { signal });
  await using adder = new LayerAdder(store, DEFAULT_LIMITS, layers.length, signal);
  let parent: ChainId | null = null;
  let parentAdded: Promise<unknown> = Promise.resolve();
  const all: Promise<unknown>[] = []; // one that is there does not wait for those below it
  for (const { descriptor, diffId, chainId } of layers) {
    const { digest, size } = descriptor;
    const location = { file: store.blobs.path(digest), offset: 0, sizeBytes: size };
    parentAdded = adder.add({ location, digest, sizeBytes: size, diffId, parent, parentAdded });
    all.push(parentAdded);
    parent = chainId;
  }
  await Promise.all(all);
}
