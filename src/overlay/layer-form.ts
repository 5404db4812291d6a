/**
 * The two forms in which layers are on disk: as overlayfs has them, which takes root; and with all that takes root in
 * `user.*` attributes, which any user can write and our own server shows.
 */

import type { OverrideAttribute } from "./override-stat.ts";
import type { OverlayNamespace } from "./xattr-names.ts";

/** Where a layer's overlay attributes are, and in which attribute its files' owners, modes and types; null: in the files. */
export interface LayerForm {
  readonly namespace: OverlayNamespace;
  readonly override: OverrideAttribute | null;
}

export const NATIVE: LayerForm = { namespace: "trusted", override: null };
export const IN_ATTRIBUTES: LayerForm = { namespace: "user", override: "user.containers.override_stat" };
