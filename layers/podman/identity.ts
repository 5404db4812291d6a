/** How containers/storage calls things: layers, the links to them, and what belongs to an image. */

import { createHash } from "node:crypto";
import { type DiffId, hexOf } from "../../src/digest.ts";

/**
 * The IDs of an image's layers, base first: what containers/image gives them, so that podman does not fetch a layer again
 * that is here. The lowest has the digits of its diffID, each other the SHA-256 of "PARENT+DIGITS".
 */
export function layerIds(diffIds: readonly DiffId[]): readonly string[] {
  const ids: string[] = [];
  for (const diffId of diffIds) {
    const parent = ids.at(-1);
    ids.push(parent === undefined ? hexOf(diffId) : sha256(`${parent}+${hexOf(diffId)}`));
  }
  return ids;
}

/**
 * The name of a layer's link in `overlay/l`. Podman's own have 26 characters; these have fewer, because podman puts the
 * absolute paths of all into one page of mount options.
 */
export function linkName(layerId: string): string {
  return sha256(layerId).slice(0, 12).toUpperCase();
}

/** The file of something that belongs to an image: its name where that is plain, else "=" and base64. */
export function bigDataFile(key: string): string {
  return /^[a-z.-]+$/.test(key) ? key : `=${Buffer.from(key).toString("base64")}`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
