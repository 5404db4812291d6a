/** A mount spec in the words of our FUSE server (fuse/options.ts), which are those of overlayfs where it has some. */

import { UnsupportedError } from "../errors.ts";
import { display, type HostPath } from "../paths.ts";
import { escapePath } from "./classic-mount.ts";
import type { MountSpec } from "./mount-spec.ts";

/**
 * The options, a byte string. `source` is what the mount table shows: there FUSE has nothing else to know a mount by.
 * Layers of ours have no `.wh.` whiteouts, and keep owners as files do. The server needs no telling of `metacopy`, whose files it reads and never
 * makes, nor of `xino` and `index=on`, which is how it works.
 * @throws {UnsupportedError} `ERR_FUSE_OPTION` for what only the kernel can
 */
export function fuseOptions(spec: MountSpec, source: HostPath): string {
  const { lowerdirs, upperdir, workdir, readOnly, options } = spec;
  if (options.nfsExport) throw unable(spec, "nfs_export=on", "it gives out no file handles");
  if (options.index === false) throw unable(spec, "index=off", "it keeps hard links together");
  const parts = [`lowerdir=${lowerdirs.map(escapePath).join(":")}`];
  if (upperdir !== null && workdir !== null) {
    parts.push(`upperdir=${escapePath(upperdir)}`, `workdir=${escapePath(workdir)}`);
  }
  if (readOnly) parts.push("ro");
  if (options.redirectDir !== undefined) parts.push(`redirect_dir=${options.redirectDir}`);
  if (options.volatile) parts.push("volatile");
  return [
    ...parts,
    `userxattr=${options.userxattr ? "on" : "off"}`,
    "aufs=off",
    "override_stat=off",
    `fsname=${escapePath(source)}`,
  ].join(",");
}

function unable({ target }: MountSpec, option: string, why: string): UnsupportedError {
  const message = `Cannot mount "${display(target)}" with backend "fuse" and ${option}: ${why}; mount with backend "kernel"`;
  return new UnsupportedError("ERR_FUSE_OPTION", message, { data: { option } });
}
