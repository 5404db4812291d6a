/**
 * Owner, mode and type of a file in an attribute of it, as containers/storage and fuse-overlayfs keep them where a file
 * cannot have them itself: unpacked without privileges, or on a file system that forces them (`force_mask`). The value is
 * `UID:GID:MODE[:TYPE]`, the mode octal; a device is an empty regular file of the type `block-MAJOR-MINOR`.
 *
 * Regular files and directories have it. Others cannot: `user.*` attributes are refused on them.
 */

import { PosixError } from "../errors.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../sys/file.ts";
import type { Stat } from "../sys/stat.ts";
import { getXattr, type XattrTarget } from "../sys/xattr.ts";

const EINVAL = 22;

/**
 * The attributes that tools use for it, in the order in which a layer's root is asked which is in force. Before 1.14
 * fuse-overlayfs wrote the second one into upperdirs of podman's, which have the third.
 */
export const OVERRIDE_ATTRIBUTES = [
  "security.fuseoverlayfs.override_stat",
  "user.fuseoverlayfs.override_stat",
  "user.containers.override_stat",
] as const;

const [, OLDER, NEWER] = OVERRIDE_ATTRIBUTES;

export type OverrideAttribute = (typeof OVERRIDE_ATTRIBUTES)[number];

/** What an attribute says. */
export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  /** With the type. */
  readonly mode: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
}

const VALUE = /^(\d{1,10}):(\d{1,10}):([0-7]{1,7})(?::([a-z]+)(?:-(\d{1,10})-(\d{1,10}))?)?$/;
const MAX_ID = 0xffff_fffe;

/** Of what a regular file may stand for. */
const TYPES: ReadonlyMap<string, number> = new Map([
  ["file", S_IFREG],
  ["dir", S_IFDIR],
  ["symlink", S_IFLNK],
  ["pipe", S_IFIFO],
  ["socket", S_IFSOCK],
  ["block", S_IFBLK],
  ["char", S_IFCHR],
]);

/** The attribute that a layer uses: the one that its root has; null without one. @throws PosixError */
export function overrideAttributeOf(root: XattrTarget): OverrideAttribute | null {
  return OVERRIDE_ATTRIBUTES.find((name) => getXattr(root, name) !== null) ?? null;
}

/** What all of a file's backing allows to its owner, and to others who share the layer. */
const BACKING_MODE = 0o755;

/** The mode to make a file with that is to be shown with `mode` by an attribute: with the type of what stands in for it. */
export function backingMode(mode: number): number {
  const type = mode & S_IFMT;
  if (type === S_IFLNK) return mode;
  return (type === S_IFDIR ? type : S_IFREG) | (mode & 0o777) | BACKING_MODE;
}

/** True if a file of this mode carries the attribute. */
export function carriesOverride(mode: number): boolean {
  const type = mode & S_IFMT;
  return type === S_IFREG || type === S_IFDIR;
}

const ownUid = process.geteuid?.() ?? 0;

/**
 * `stat` of the file at `target` with what its attribute says; as it is where there is none. What cannot have it, and belongs
 * to the user who works here without privileges, is root's, as nearly everything in a layer is.
 * @throws PosixError `EINVAL`
 */
export function overriddenStat(stat: Stat, target: XattrTarget, attribute: OverrideAttribute): Stat {
  if (!carriesOverride(stat.mode)) {
    return ownUid === 0 || stat.uid !== ownUid ? stat : stat.withOwnership({ ...ownershipOf(stat), uid: 0, gid: 0 });
  }
  const value = getXattr(target, attribute) ?? (attribute === OLDER ? getXattr(target, NEWER) : null);
  return value === null ? stat : stat.withOwnership(parseOwnership(value, stat.mode & S_IFMT));
}

function ownershipOf({ uid, gid, mode, rdevMajor, rdevMinor }: Stat): Ownership {
  return { uid, gid, mode, rdevMajor, rdevMinor };
}

/**
 * What a value says of a file of type `carrier`. Only a regular file can stand for another type.
 * @throws PosixError `EINVAL` for one that says nothing
 */
export function parseOwnership(value: Buffer, carrier: number): Ownership {
  const match = VALUE.exec(value.toString("latin1"));
  const [uid, gid] = [Number(match?.[1]), Number(match?.[2])];
  const type = match?.[4] === undefined ? carrier : TYPES.get(match[4]);
  if (match === null || type === undefined || uid > MAX_ID || gid > MAX_ID) {
    throw new PosixError(EINVAL, "getxattr(override_stat)");
  }
  const isStandIn = carrier === S_IFREG && type !== S_IFDIR && type !== S_IFLNK;
  const bits = Number.parseInt(match[3] ?? "", 8) & 0o7777;
  return {
    uid,
    gid,
    mode: (isStandIn ? type : carrier) | bits,
    rdevMajor: isStandIn ? Number(match[5] ?? 0) : 0,
    rdevMinor: isStandIn ? Number(match[6] ?? 0) : 0,
  };
}

/** The value for a file. Of what is no stand-in no type is said, as older tools expect it. */
export function formatOwnership({ uid, gid, mode, rdevMajor, rdevMinor }: Ownership): Buffer {
  const bits = (mode & 0o7777).toString(8).padStart(4, "0");
  return Buffer.from(`${uid}:${gid}:${bits}${typeOf(mode & S_IFMT, `-${rdevMajor}-${rdevMinor}`)}`);
}

function typeOf(type: number, device: string): string {
  switch (type) {
    case S_IFIFO:
      return ":pipe";
    case S_IFSOCK:
      return ":socket";
    case S_IFBLK:
      return `:block${device}`;
    case S_IFCHR:
      return `:char${device}`;
    default:
      return "";
  }
}
