/** Mounting through /dev/fuse: as root, or as root of a user namespace (mount(2) of type fuse). */

import { isErrno, UnsupportedError } from "../../src/errors.ts";
import { display, type HostPath } from "../../src/paths.ts";
import { AT_FDCWD, O_RDWR, openAt } from "../../src/sys/file.ts";
import { FUSE_TYPE } from "../../src/sys/fuse-device.ts";
import { mount } from "../../src/sys/mount.ts";
import type { FuseOptions } from "../options.ts";

/** mount(2) flags by the names of mount(8). */
const FLAGS: Readonly<Record<string, number>> = {
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  noatime: 1024,
  nodiratime: 2048,
};
const MS_RDONLY = 1;
const MS_NOATIME = 1024;

/**
 * Mounts at `target` and returns the descriptor that requests come from. Nothing answers yet.
 * @throws {UnsupportedError} `ERR_FUSE_UNAVAILABLE` without /dev/fuse, `ERR_MOUNT_PRIVILEGE` where mounting is not allowed
 * @throws PosixError
 */
export function mountDevice(target: HostPath, options: FuseOptions): number {
  const device = openDevice();
  const others = process.geteuid?.() === 0 ? ",allow_other" : "";
  const context = options.context === null ? "" : `,context="${options.context}"`;
  const data = `fd=${device},rootmode=40000,user_id=${process.geteuid?.() ?? 0},group_id=${process.getegid?.() ?? 0},default_permissions${others}${context}`;
  try {
    mount(options.source, target, FUSE_TYPE, flagsOf(options), data);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    const message = `Cannot mount at "${display(target)}": this needs root, or a user namespace of your own (unshare -Urm)`;
    throw new UnsupportedError("ERR_MOUNT_PRIVILEGE", message, { cause: error });
  }
  return device;
}

function openDevice(): number {
  try {
    return openAt(AT_FDCWD, "/dev/fuse", O_RDWR);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENODEV", "EACCES", "EPERM", "ENXIO")) throw error;
    const message = `Cannot open "/dev/fuse": ${error.code}; load the module (modprobe fuse), or let the container have the device`;
    throw new UnsupportedError("ERR_FUSE_UNAVAILABLE", message, { cause: error });
  }
}

/** Later flags win, as with mount(8). */
function flagsOf({ mountFlags, readOnly }: FuseOptions): number {
  let flags = MS_NOATIME | (readOnly ? MS_RDONLY : 0);
  for (const name of mountFlags) {
    const positive = FLAGS[`no${name}`];
    if (positive !== undefined) flags &= ~positive;
    else flags |= FLAGS[name] ?? 0;
  }
  return flags;
}
