/** Opaque directories: `overlay.opaque`=y hides every lower child, not the directory (overlayfs.rst). */

import { getXattr, setXattr, type XattrTarget } from "../sys/xattr.ts";
import { type OverlayNamespace, overlayXattr } from "./xattr-names.ts";

/** "opaque": nothing below shows; "xattr-whiteouts": merged, and may hold whiteouts of the second form. */
export type Opaqueness = "merged" | "opaque" | "xattr-whiteouts";

/** What the attribute of a directory says. @throws PosixError */
export function opaquenessOf(directory: XattrTarget, namespace: OverlayNamespace): Opaqueness {
  const value = getXattr(directory, overlayXattr(namespace, "opaque"));
  if (value === null || value.length !== 1) return "merged"; // the kernel looks at values of one byte
  if (value[0] === 0x79) return "opaque"; // "y"
  return value[0] === 0x78 ? "xattr-whiteouts" : "merged"; // "x"
}

/** Makes a directory opaque. @throws PosixError */
export function setOpaque(directory: XattrTarget, namespace: OverlayNamespace = "trusted"): void {
  setXattr(directory, overlayXattr(namespace, "opaque"), Buffer.from("y"));
}

/** Says of a directory that it may hold whiteouts of the second form; an opaque one stays so. @throws PosixError */
export function expectXattrWhiteouts(directory: XattrTarget, namespace: OverlayNamespace): void {
  if (opaquenessOf(directory, namespace) === "merged") {
    setXattr(directory, overlayXattr(namespace, "opaque"), Buffer.from("x"));
  }
}
