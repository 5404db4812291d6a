/**
 * The root of an upperdir hides the roots below it: a mount shows its owner, mode, times and attributes. It gets those of
 * the topmost layer's root, so that the merged root looks like the image's.
 */

import { escapeXattr } from "../../src/overlay/escape.ts";
import type { LayerForm } from "../../src/overlay/layer-form.ts";
import { shownXattrs } from "../../src/overlay/override-names.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { AT_FDCWD, chmod, chown, setTimes } from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";
import { getXattr, listXattrs, setXattr } from "../../src/sys/xattr.ts";

/** Makes directory `to` look like directory `from`, of a layer of the same form, in a mount. @throws PosixError */
export function copyRootAttributes(from: HostPath, to: HostPath, form: LayerForm): void {
  const stat = statAt(AT_FDCWD, joinHost(from, "."));
  const own = statAt(AT_FDCWD, to);
  if (form.override !== null) {
    for (const [name, value] of storedAttributes(from)) setXattr(to, name, value);
    setTimes(AT_FDCWD, to, stat.atimeNs, stat.mtimeNs);
    return;
  }
  if (own.uid !== stat.uid || own.gid !== stat.gid) chown(AT_FDCWD, to, stat.uid, stat.gid);
  for (const [name, value] of shownXattrs(from)) setXattr(to, escapeXattr(name), value);
  chmod(AT_FDCWD, to, stat.mode & 0o7777); // after the owner, which clears setgid, and an ACL, which changes the group's bits
  setTimes(AT_FDCWD, to, stat.atimeNs, stat.mtimeNs);
}

/** All but those by which overlayfs knows the directory; the owner is among them. */
function storedAttributes(from: HostPath): readonly (readonly [string, Buffer])[] {
  return listXattrs(from).flatMap((name) => {
    const value = name.startsWith("user.overlay.") ? null : getXattr(from, name);
    return value === null || !name.startsWith("user.") ? [] : [[name, value] as const];
  });
}
