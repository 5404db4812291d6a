/** A mount spec in the words of our FUSE server (fuse/options.ts), which are those of overlayfs where it has some. */

import { UnsupportedError } from "../errors.ts";
import { display, type HostPath } from "../paths.ts";
import { escapePath } from "./classic-mount.ts";
import { formatRanges } from "./id-mapping.ts";
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
  const userxattr = options.userxattr || spec.ownersInAttributes;
  parts.push(`userxattr=${userxattr ? "on" : "off"}`, "aufs=off", ...ownerOptions(spec));
  return [...parts, `fsname=${escapePath(source)}`].join(",");
}

/**
 * Where owners are. For a user who is not root, root's files are shown as his own, and his as root's: he works in the tree
 * as its root would, and what he makes there is its root's.
 */
function ownerOptions({ ownersInAttributes, idMap }: MountSpec): readonly string[] {
  const mapping =
    idMap === undefined
      ? null
      : [`uidmapping=${formatRanges(idMap.uids, ":")}`, `gidmapping=${formatRanges(idMap.gids, ":")}`];
  if (!ownersInAttributes) return ["override_stat=off", ...(mapping ?? [])];
  if (mapping !== null) return ["xattr_permissions=2", ...mapping];
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  return [
    "xattr_permissions=2",
    ...(uid === 0 ? [] : [`uidmapping=${swapped(uid)}`]),
    ...(gid === 0 ? [] : [`gidmapping=${swapped(gid)}`]),
  ];
}

/** Every id as itself, but 0 and `id` exchanged. */
function swapped(id: number): string {
  const between = id === 1 ? "" : `1:1:${id - 1}:`;
  return `0:${id}:1:${id}:0:1:${between}${id + 1}:${id + 1}:${0xffff_ffff - id - 1}`;
}

function unable({ target }: MountSpec, option: string, why: string): UnsupportedError {
  const message = `Cannot mount "${display(target)}" with backend "fuse" and ${option}: ${why}; mount with backend "kernel"`;
  return new UnsupportedError("ERR_FUSE_OPTION", message, { data: { option } });
}
