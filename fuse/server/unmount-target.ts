/** Ending a mount at a signal. */

import { isErrno } from "../../src/errors.ts";
import type { HostPath } from "../../src/paths.ts";
import { unmountFuse } from "../../src/sys/fusermount.ts";
import { MNT_DETACH } from "../../src/sys/mount.ts";

/** A mount in use goes from the tree at once, and ends with its last user. */
export function unmountTarget(target: HostPath, onFailure: (reason: string) => void): void {
  try {
    unmountFuse(target);
  } catch (error) {
    if (isErrno(error, "EBUSY")) unmountFuse(target, MNT_DETACH);
    else if (!isErrno(error, "EINVAL", "ENOENT")) onFailure(String(error)); // these: gone already
  }
}
