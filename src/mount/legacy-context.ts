/**
 * Before Linux 6.5 overlayfs has no parameters of its own for fsopen(2): fsconfig(2) takes any, gathers them in one page,
 * and only the last step refuses what mount(2) would not know, `lowerdir+` among it (fs/fs_context.c, "legacy").
 */

import { readSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { contextMessages, fsconfigSet } from "../sys/mount.ts";

/** True if `context` would take anything, so that mount(2) is the way. Such a context is of no further use. */
export function isLegacyContext(context: number): boolean {
  try {
    fsconfigSet(context, "no-such-option", true);
    return true;
  } catch (error) {
    if (!isErrno(error, "EINVAL")) throw error;
    contextMessages((fd, buffer) => readSync(fd, buffer), context); // what it says of that option is nobody's concern
    return false;
  }
}
