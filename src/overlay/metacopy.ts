/**
 * Metacopy files: a regular file with `overlay.metacopy` has its own metadata and size, and its content in a layer below
 * (overlayfs.rst, "Metadata only copy up").
 */

import { PosixError } from "../errors.ts";
import { getXattr, type XattrTarget } from "../sys/xattr.ts";
import { type OverlayNamespace, overlayXattr } from "./xattr-names.ts";

const EIO = 5;
const HEADER_BYTES = 4; // version, length, flags, digest algorithm

/**
 * True if the content of a regular file is in a layer below.
 * @throws PosixError `EIO` if the attribute is of a version that is not known
 */
export function isMetacopy(target: XattrTarget, namespace: OverlayNamespace): boolean {
  const value = getXattr(target, overlayXattr(namespace, "metacopy"));
  if (value === null) return false;
  if (value.length > 0 && (value.length < HEADER_BYTES || value[0] !== 0)) {
    throw new PosixError(EIO, "getxattr(overlay.metacopy)", String(target));
  }
  return true;
}
