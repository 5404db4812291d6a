/**
 * Redirects: `overlay.redirect` on a directory, or on a metacopy file, names where it continues in the layers below: a
 * name beside it, or with a leading "/" a path from the root (overlayfs.rst, "renaming directories").
 */

import { PosixError } from "../errors.ts";
import { getXattr, type XattrTarget } from "../sys/xattr.ts";
import { type OverlayNamespace, overlayXattr } from "./xattr-names.ts";

const EINVAL = 22;

/**
 * The redirect of a file or directory, as a byte string; null if it has none.
 * @throws PosixError `EINVAL` for one that names nothing: empty, with an empty, "." or ".." component, or relative with
 *   a "/" in it. The kernel refuses these too.
 */
export function redirectOf(target: XattrTarget, namespace: OverlayNamespace): string | null {
  const value = getXattr(target, overlayXattr(namespace, "redirect"));
  if (value === null) return null;
  const redirect = value.toString("latin1");
  const names = redirect.startsWith("/") ? redirect.slice(1).split("/") : [redirect];
  if (names.every(isName)) return redirect;
  throw new PosixError(EINVAL, "getxattr(overlay.redirect)", String(target));
}

function isName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0");
}
