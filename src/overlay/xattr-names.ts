/**
 * The names of overlayfs' own extended attributes (Documentation/filesystems/overlayfs.rst). A layer carries them in one
 * of two namespaces: "trusted" as root, "user" with the mount option `userxattr`. Only one is in force on a mount; names
 * of the other are ordinary attributes there.
 */

/** Where a layer's overlay attributes are. */
export type OverlayNamespace = "trusted" | "user";

/** What comes after "trusted.overlay." or "user.overlay.". */
export type OverlayXattr = "opaque" | "redirect" | "metacopy" | "whiteout" | "origin" | "impure" | "nlink";

/** "trusted.overlay.opaque" and the like. */
export function overlayXattr(namespace: OverlayNamespace, name: OverlayXattr): string {
  return `${namespace}.overlay.${name}`;
}
