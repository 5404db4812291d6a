/**
 * Attributes as a mount shows them. overlayfs keeps its own attributes to itself; one that belongs to a payload (a layer
 * that holds another overlay's layers) is stored with "overlay." once more in its name and shown without it, so that it
 * survives any depth of nesting (overlayfs.rst, "Nested overlayfs mounts", Linux 6.7).
 */

import type { OverlayNamespace } from "./xattr-names.ts";

/** The name to store, so that the mount shows `shown`. */
export function escapeXattr(shown: string, namespace: OverlayNamespace = "trusted"): string {
  const prefix = `${namespace}.overlay.`;
  return shown.startsWith(prefix) ? `${prefix}overlay.${shown.slice(prefix.length)}` : shown;
}

/** The name that the mount shows for `stored`; null if it is overlayfs' own and not shown. */
export function unescapeXattr(stored: string, namespace: OverlayNamespace = "trusted"): string | null {
  const prefix = `${namespace}.overlay.`;
  if (!stored.startsWith(prefix)) return stored;
  const escaped = `${prefix}overlay.`;
  return stored.startsWith(escaped) ? prefix + stored.slice(escaped.length) : null;
}
