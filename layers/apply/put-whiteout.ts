/** Whiteouts of an unpacked layer: devices 0:0, which an overlayfs does not take in its own upperdir. */

import { isErrno, UnsupportedError } from "../../src/errors.ts";
import { makeWhiteout } from "../../src/overlay/whiteout.ts";
import { display, type LayerPath } from "../../src/paths.ts";

/**
 * Makes the whiteout `name`, at `path` of the layer, in an open directory.
 * @throws {UnsupportedError} `ERR_NO_WHITEOUTS` where the store's file system refuses it
 * @throws PosixError `EEXIST`
 */
export function putWhiteout(dirfd: number, name: string, path: LayerPath): void {
  try {
    makeWhiteout(dirfd, name);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    const shown = display(path);
    const message =
      `Cannot unpack the whiteout of "${shown}": the store's file system refuses it, as an overlayfs does; ` +
      "put the store on ext4, xfs, btrfs or tmpfs (in a container: on a volume)";
    throw new UnsupportedError("ERR_NO_WHITEOUTS", message, { data: { path: shown }, cause: error });
  }
}
