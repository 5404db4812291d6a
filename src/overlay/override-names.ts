/**
 * Names of attributes in a layer that keeps owners in an attribute (`override-stat.ts`). Under
 * `user.containers.override_stat` the others that its files cannot have, or that would be taken for the layer's own, are
 * behind `user.containers.override_`, as containers/storage and fuse-overlayfs have them.
 */

import { getXattr, listXattrs, type XattrTarget } from "../sys/xattr.ts";
import { escapeXattr, unescapeXattr } from "./escape.ts";
import { OVERRIDE_ATTRIBUTES, type OverrideAttribute } from "./override-stat.ts";
import type { OverlayNamespace } from "./xattr-names.ts";

const PREFIX = "user.containers.override_";
const BEHIND_IT = ["security.", "trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.", PREFIX];
/** These too are stored behind it, because only root can set them, or they would change what the server may. */
const PRIVILEGED = ["trusted.", "system."];

/** The attributes that a mount shows for the file at `target` of a layer, by shown name, in the file system's order. @throws PosixError */
export function shownXattrs(
  target: XattrTarget,
  namespace: OverlayNamespace = "trusted",
  override: OverrideAttribute | null = null,
): ReadonlyMap<string, Buffer> {
  const shown = new Map<string, Buffer>();
  for (const stored of listXattrs(target)) {
    const name = shownXattr(stored, namespace, override);
    const value = name === null ? null : getXattr(target, stored);
    if (name !== null && value !== null) shown.set(name, value);
  }
  return shown;
}

/** The name to store in a layer, so that a mount shows `shown`; null for one that no mount could show. */
export function storedXattr(
  shown: string,
  namespace: OverlayNamespace,
  override: OverrideAttribute | null,
): string | null {
  if (override === "user.containers.override_stat") return mayBeBehind(shown) ? PREFIX + shown : shown;
  return override !== null && isOverride(shown) ? null : escapeXattr(shown, namespace);
}

/** The name that a mount shows for `stored` of a layer; null if it is the layer's own and not shown. */
export function shownXattr(
  stored: string,
  namespace: OverlayNamespace,
  override: OverrideAttribute | null,
): string | null {
  if (override === "user.containers.override_stat") {
    const shown = stored.startsWith(PREFIX) ? stored.slice(PREFIX.length) : null;
    if (shown !== null) return mayBeBehind(shown) ? shown : null;
    return isBehind(stored) ? null : stored;
  }
  return override !== null && isOverride(stored) ? null : unescapeXattr(stored, namespace);
}

function isBehind(name: string): boolean {
  return BEHIND_IT.some((prefix) => name.startsWith(prefix));
}

function mayBeBehind(name: string): boolean {
  return isBehind(name) || PRIVILEGED.some((prefix) => name.startsWith(prefix));
}

function isOverride(name: string): boolean {
  return OVERRIDE_ATTRIBUTES.some((each) => each === name);
}
