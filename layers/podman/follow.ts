/** Whether podman is given the store's images, and what every change of images does about it. */

import { existsSync } from "node:fs";
import { bytesOf } from "../../src/paths.ts";
import type { Store } from "../store.ts";

export interface PublishOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told the bytes of new layers' blobs that have been read, of those that will be. */
  readonly onProgress?: ((progress: { readonly doneBytes: number; readonly totalBytes: number }) => void) | undefined;
}

/** True if the store keeps an additional image store for podman. */
export function isPublished(store: Store): boolean {
  return existsSync(bytesOf(store.layout.podman));
}

/**
 * Brings the additional image store up to date after a change that is made already, if there is one: a failure is logged,
 * and the next change tries again. @throws what `signal` was aborted with
 */
export async function followImages(store: Store, options: PublishOptions = {}): Promise<void> {
  if (!isPublished(store)) return;
  try {
    const { publishImages } = await import("./publish.ts"); // few stores need it
    await publishImages(store, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    const advice = 'podman sees the images as they were; "layerctl setup podman" tries again';
    store.logger.warn("podman.publish.failed", { reason, advice });
  }
}
