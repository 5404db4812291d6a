/**
 * Owner, mode and type of files: in the inode, or in an attribute where the layer keeps them there
 * (`src/overlay/override-stat.ts`). Then what is on disk belongs to the server, can be read by others, and devices, fifos
 * and sockets are empty files: no privilege is needed for any of it. A symbolic link cannot have the attribute: it has an
 * owner of its own where the server may give it one.
 */

import { isErrno } from "../../src/errors.ts";
import {
  backingMode as backingModeOf,
  carriesOverride,
  formatOwnership,
  type OverrideAttribute,
  overriddenStat,
  overrideAttributeOf,
} from "../../src/overlay/override-stat.ts";
import type { HostPath } from "../../src/paths.ts";
import * as file from "../../src/sys/file.ts";
import { type Stat, statAt, statAtOrNull } from "../../src/sys/stat.ts";
import { getXattr, removeXattrIfSet, setXattr, type XattrTarget } from "../../src/sys/xattr.ts";
import type { FuseOptions } from "../options.ts";
import { hostPathAt, type Layer, type Location } from "./layer.ts";
import type { Node } from "./node.ts";
import type { Place, Union } from "./union.ts";

/** The attribute of file capabilities. */
export const CAPABILITY = "security.capability";

/** Who this process is: what it makes in the workdir is this user's. */
export const SERVER = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 } as const;

/** A file where it lies on disk, for calls of both kinds. */
export interface OnDisk {
  readonly place: Place;
  readonly target: XattrTarget;
}

/** Owner, mode with the type, and device number. */
export interface Wanted {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly rdev: readonly [major: number, minor: number];
}

/** statx(2) with what the layer says of owner, mode and type. @throws PosixError */
export function statIn({ layer, path }: Location): Stat {
  return shownStat(layer, statAt(layer.fd, path), () => hostPathAt(layer, path));
}

/** As `statIn`; null for ENOENT. @throws PosixError */
export function statInOrNull({ layer, path }: Location): Stat | null {
  const stat = statAtOrNull(layer.fd, path);
  return stat === null ? null : shownStat(layer, stat, () => hostPathAt(layer, path));
}

/** What `stat` of a file of the layer is shown as. @throws PosixError */
export function shownStat({ override }: Layer, stat: Stat, target: () => XattrTarget): Stat {
  return override === null ? stat : overriddenStat(stat, target(), override);
}

/** The mode to make a file with that is to be shown with `mode`: with the type of what stands in for it. */
export function backingMode({ override }: Layer, mode: number): number {
  return override === null ? mode : backingModeOf(mode);
}

/**
 * Gives a file that was made with `backingMode` its owner and mode, where the layer keeps them in an attribute.
 * @returns false if it does not: that is then left to do
 * @throws PosixError
 */
export function putOwnership({ override }: Layer, { place, target }: OnDisk, wanted: Wanted): boolean {
  if (override === null) return false;
  const { uid, gid, mode, rdev } = wanted;
  if ((mode & file.S_IFMT) === file.S_IFLNK) chownIfAllowed(place, uid, gid);
  else setXattr(target, override, formatOwnership({ uid, gid, mode, rdevMajor: rdev[0], rdevMinor: rdev[1] }));
  return true;
}

function chownIfAllowed({ fd, path }: Place, uid: number, gid: number): void {
  try {
    file.chown(fd, path, uid, gid);
  } catch (error) {
    if (!isErrno(error, "EPERM", "EINVAL")) throw error; // EINVAL: the id is not mapped here
  }
}

/** The attribute that the upperdir is to use: as its root says, or the options. */
export function upperOverride(
  { xattrPermissions, findOverrides }: FuseOptions,
  root: HostPath,
): OverrideAttribute | null {
  const found = findOverrides ? overrideAttributeOf(root) : null;
  if (found !== null) return found;
  if (xattrPermissions === 0) return null;
  return xattrPermissions === 1 ? "security.fuseoverlayfs.override_stat" : "user.containers.override_stat";
}

/** Gives the root of an upperdir what the topmost lower root says of itself, or what it is; if it says nothing yet. */
export function putRootOwnership(upper: Layer, lowers: readonly Layer[]): void {
  const root = { layer: upper, path: "." };
  const target = hostPathAt(upper, ".");
  if (upper.override === null || getXattr(target, upper.override) !== null) return;
  const speaking = lowers.find(({ override }) => override !== null);
  const { uid, gid, mode } = statIn(speaking === undefined ? root : { layer: speaking, path: "." });
  putOwnership(upper, { place: { fd: upper.fd, path: "." }, target }, { uid, gid, mode, rdev: [0, 0] });
}

/** What is to change of a file of the upperdir; ids as on disk. */
export interface OwnershipChange {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Without the type. */
  readonly mode?: number;
}

/** chown(2) and chmod(2) of a file of the upperdir, with what they take along. @throws PosixError */
export function changeOwnership(union: Union, node: Node, change: OwnershipChange): void {
  const { uid, gid, mode } = change;
  const { layer } = union.writable();
  const place = union.placeOf(node);
  const isChown = uid !== undefined || gid !== undefined;
  if (layer.override === null || !carriesOverride(statAt(place.fd, place.path).mode)) {
    if (isChown) (layer.override === null ? file.chown : chownPlace)(place.fd, place.path, uid ?? KEEP, gid ?? KEEP);
    if (mode !== undefined) file.chmod(place.fd, place.path, mode);
    return;
  }
  const target = union.xattrTargetOf(node);
  const before = union.statOf(node);
  const kept = isChown && !node.isDirectory ? withoutSuidgid(before.mode) : before.mode;
  putOwnership(
    layer,
    { place, target },
    {
      uid: uid ?? before.uid,
      gid: gid ?? before.gid,
      mode: mode === undefined ? kept : (before.mode & file.S_IFMT) | (mode & 0o7777),
      rdev: [before.rdevMajor, before.rdevMinor],
    },
  );
  if (isChown && node.type === file.S_IFREG) removeXattrIfSet(target, union.storedName(layer, CAPABILITY));
}

const KEEP = 0xffff_ffff;

function chownPlace(fd: number, path: string | null, uid: number, gid: number): void {
  chownIfAllowed({ fd, path }, uid, gid);
}

/** A mode without what a change of owner, or a write by others, takes away: setuid, and setgid where the group may run it. */
export function withoutSuidgid(mode: number): number {
  return mode & ~(0o4000 | ((mode & 0o010) === 0 ? 0 : 0o2000));
}
