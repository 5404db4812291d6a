/**
 * Extended attributes as the mount shows them: the overlay's own are hidden, one that belongs to an overlay inside is kept
 * under an escaped name (`src/overlay/escape.ts`), as in the kernel; so are those by which a layer keeps owners.
 */

import { PosixError } from "../../src/errors.ts";
import { shownXattr, storedXattr } from "../../src/overlay/override-names.ts";
import { listXattrs, removeXattr, setXattr, viewXattr } from "../../src/sys/xattr.ts";
import { copyUp } from "./copy-up.ts";
import { ERRNO } from "./errno.ts";
import type { Node } from "./node.ts";
import { changeOwnership } from "./ownership.ts";
import type { Union } from "./union.ts";

const ACL = "system.posix_acl_";

/** The value, a view that the next call overwrites; null if it is not set. @throws PosixError `ENOTSUP` */
export function getAttribute(union: Union, node: Node, name: string): Buffer | null {
  check(union, name);
  return keptAttribute(union, node, name);
}

/** The same where attributes are not served (`noxattrs`): what a file has there it has. @throws PosixError */
export function keptAttribute(union: Union, node: Node, name: string): Buffer | null {
  union.tally.count("noXattrs", node.hasNoXattrs);
  if (node.hasNoXattrs) return null;
  const stored = storedXattr(name, union.namespace, union.layerOf(node).override);
  return stored === null ? null : viewXattr(union.xattrTargetOf(node), stored);
}

/** The names that are shown to `uid`: `trusted.*` to root alone, which file systems hide and the kernel leaves to us. */
export function listAttributes(union: Union, node: Node, uid: number): readonly string[] {
  if (union.options.noXattrs) throw new PosixError(ERRNO.ENOTSUP, "listxattr");
  if (node.hasNoXattrs) return [];
  const { override } = union.layerOf(node);
  return listXattrs(union.xattrTargetOf(node)).flatMap((stored) => {
    const name = shownXattr(stored, union.namespace, override);
    if (name?.startsWith(ACL) && !union.hasAcls) return [];
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
  check(union, name);
  const { layer } = copyUp(union, node);
  setXattr(union.xattrTargetOf(node), union.storedName(layer, name), value, flags);
  node.hasNoXattrs = false;
  if (killSgid) {
    const { mode } = union.statOf(node);
    if ((mode & 0o2000) !== 0) changeOwnership(union, node, { mode: mode & ~0o2000 });
  }
  node.inheritance = null;
  node.hiddenChange = null;
}

/** @throws PosixError `ENODATA`, `EROFS` */
export function removeAttribute(union: Union, node: Node, name: string): void {
  union.writable();
  if (getAttribute(union, node, name) === null) throw new PosixError(ERRNO.ENODATA, "removexattr");
  const { layer } = copyUp(union, node);
  removeXattr(union.xattrTargetOf(node), union.storedName(layer, name));
  node.inheritance = null;
  node.hiddenChange = null;
}

function check(union: Union, name: string): void {
  if (union.options.noXattrs) throw new PosixError(ERRNO.ENOTSUP, "xattr");
  if (name.startsWith(ACL) && !union.hasAcls) throw new PosixError(ERRNO.ENOTSUP, "xattr");
}
