/**
 * Extended attributes as the mount shows them: the overlay's own are hidden, one that belongs to an overlay inside is kept
 * under an escaped name (`src/overlay/escape.ts`), as in the kernel.
 */

import { PosixError } from "../../src/errors.ts";
import { escapeXattr, unescapeXattr } from "../../src/overlay/escape.ts";
import * as file from "../../src/sys/file.ts";
import { listXattrs, removeXattr, setXattr, viewXattr } from "../../src/sys/xattr.ts";
import { copyUp } from "./copy-up.ts";
import { ERRNO } from "./errno.ts";
import type { Node } from "./node.ts";
import type { Union } from "./union.ts";

const ACL = "system.posix_acl_";

/** The value, a view that the next call overwrites; null if it is not set. @throws PosixError `ENOTSUP` */
export function getAttribute(union: Union, node: Node, name: string): Buffer | null {
  const storedName = stored(union, name);
  return node.hasNoXattrs ? null : viewXattr(union.xattrTargetOf(node), storedName);
}

/** The names that are shown to `uid`: `trusted.*` to root alone, which file systems hide and the kernel leaves to us. */
export function listAttributes(union: Union, node: Node, uid: number): readonly string[] {
  if (union.options.noXattrs) throw new PosixError(ERRNO.ENOTSUP, "listxattr");
  return listXattrs(union.xattrTargetOf(node)).flatMap((stored) => {
    const name = unescapeXattr(stored, union.namespace);
    return name === null || (uid !== 0 && name.startsWith("trusted.")) ? [] : name;
  });
}

/** @throws PosixError `EEXIST`, `ENODATA` by `flags` (setxattr(2)); `EROFS` */
export function setAttribute(
  union: Union,
  node: Node,
  name: string,
  value: Uint8Array,
  flags: number,
  killSgid: boolean,
): void {
  const storedName = stored(union, name);
  copyUp(union, node);
  setXattr(union.xattrTargetOf(node), storedName, value, flags);
  node.hasNoXattrs = false;
  if (killSgid) {
    const { fd, path } = union.placeOf(node);
    const { mode } = union.statOf(node);
    if ((mode & 0o2000) !== 0) file.chmod(fd, path, mode & ~0o2000);
  }
  node.inheritance = null;
}

/** @throws PosixError `ENODATA`, `EROFS` */
export function removeAttribute(union: Union, node: Node, name: string): void {
  const storedName = stored(union, name);
  union.writable();
  if (viewXattr(union.xattrTargetOf(node), storedName) === null) throw new PosixError(ERRNO.ENODATA, "removexattr");
  copyUp(union, node);
  removeXattr(union.xattrTargetOf(node), storedName);
  node.inheritance = null;
}

function stored(union: Union, name: string): string {
  if (union.options.noXattrs) throw new PosixError(ERRNO.ENOTSUP, "xattr");
  if (name.startsWith(ACL) && !union.options.posixAcl) throw new PosixError(ERRNO.ENOTSUP, "xattr");
  return escapeXattr(name, union.namespace);
}
