/** Mounting through fusermount3(1): as an ordinary user. The kernel then lets nobody else in, and ignores setuid bits and devices. */

import type { HostPath } from "../../src/paths.ts";
import { FUSE_TYPE } from "../../src/sys/fuse-device.ts";
import { mountWithFusermount } from "../../src/sys/fusermount.ts";
import type { FuseOptions } from "../options.ts";

/** What fusermount3 takes of mount(8)'s options from others than root. */
const FLAGS = ["nosuid", "nodev", "noexec", "exec", "noatime", "atime"];

/** Mounts at `target` and returns the descriptor that requests come from. @throws as `mountWithFusermount` */
export function mountByFusermount(target: HostPath, options: FuseOptions): number {
  const { mountFlags, readOnly, allowOther, source } = options;
  const words = [
    readOnly ? "ro" : "rw",
    ...["noatime", ...mountFlags].filter((flag) => FLAGS.includes(flag)),
    "default_permissions",
    ...(allowOther ? ["allow_other"] : []), // needs user_allow_other in /etc/fuse.conf, as it says
    `subtype=${FUSE_TYPE.replace("fuse.", "")}`,
    `fsname=${source.replace(/[\\,]/g, "\\$&")}`,
  ];
  return mountWithFusermount(target, words.join(","));
}
