/**
 * Attributes as a mount shows them. overlayfs keeps its own attributes to itself; one that belongs to a payload (a layer
 * that holds another overlay's layers) is stored with "overlay." once more in its name and shown without it, so that it
 * survives any depth of nesting (overlayfs.rst, "Nested overlayfs mounts", Linux 6.7).
 */

import { getXattr, listXattrs, type XattrTarget } from "../sys/xattr.ts";
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

/** The attributes that a mount shows for the file at `target` of a layer, by shown name, in the file system's order. @throws PosixError */
export function shownXattrs(target: XattrTarget, namespace: OverlayNamespace = "trusted"): ReadonlyMap<string, Buffer> {
  const shown = new Map<string, Buffer>();
  for (const stored of listXattrs(target)) {
    const name = unescapeXattr(stored, namespace);
    const value = name === null ? null : getXattr(target, stored);
    if (name !== null && value !== null) shown.set(name, value);
  }
  return shown;
}
