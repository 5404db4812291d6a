/** New names: files, directories, links, devices (fs/overlayfs/dir.c). */

import { PosixError } from "../../src/errors.ts";
import { setOpaque } from "../../src/overlay/opaque.ts";
import { joinHost, NAME_MAX } from "../../src/paths.ts";
import * as file from "../../src/sys/file.ts";
import { statAt } from "../../src/sys/stat.ts";
import { getXattr, setXattr } from "../../src/sys/xattr.ts";
import type { Caller } from "../protocol/request.ts";
import { gidOnDisk, uidOnDisk } from "./attributes.ts";
import { makeWhole } from "./content.ts";
import { copyUp, markImpure } from "./copy-up.ts";
import { isVisible } from "./directory-index.ts";
import { ERRNO } from "./errno.ts";
import { type Found, isReserved } from "./lookup.ts";
import type { Inheritance, Node } from "./node.ts";
import { backingMode, putOwnership, SERVER, shownStat, statIn, type Wanted } from "./ownership.ts";
import type { Union } from "./union.ts";
import { discard, type Upper } from "./workdir.ts";

const DEFAULT_ACL = "system.posix_acl_default";

/** What a new file is to be. */
export interface NewFile {
  /** Type and permissions. */
  readonly mode: number;
  readonly umask: number;
  readonly rdev?: readonly [major: number, minor: number];
  /** Of a symbolic link. */
  readonly target?: string;
}

/** Where a name is to be made. */
interface Spot {
  readonly upper: Upper;
  readonly path: string;
  /** A whiteout is in the upperdir at this name. */
  readonly isWhitedOut: boolean;
}

/** What is made in the workdir: `name` is what goes when it was moved to its place, or could not be. */
interface Stage {
  readonly name: string;
  readonly path: string;
}

/**
 * Makes `name` in `parent`, owned by the caller (or the group of a setgid directory). A regular file is left open.
 * @throws PosixError `EEXIST`, `EPERM` for a reserved name, `EROFS`, and what the upperdir's file system answers
 */
export function create(union: Union, caller: Caller, parent: Node, name: string, wanted: NewFile): Found {
  if ((wanted.mode & file.S_IFMT) === file.S_IFCHR && isZero(wanted.rdev)) throw new PosixError(ERRNO.EPERM, "mknod");
  const spot = prepare(union, parent, name);
  const { upper } = spot;
  const inheritance = inheritanceOf(union, parent);
  const isDirectory = (wanted.mode & file.S_IFMT) === file.S_IFDIR;
  const [uid, gid] = [uidOnDisk(union, caller.uid), inheritance.gid ?? gidOnDisk(union, caller.gid)];
  const mode = modeOf(wanted, inheritance);
  const isOurs = uid === SERVER.uid && (gid === SERVER.gid || inheritance.gid !== null);
  const hasNoXattrs = !inheritance.hasDefaultAcl;
  if (isOurs && upper.layer.override === null && !spot.isWhitedOut) {
    return enter(union, parent, name, make(upper.layer.fd, spot.path, mode, wanted), hasNoXattrs);
  }
  const stage = openStage(union, upper, parent, inheritance);
  let fd = -1;
  try {
    fd = make(upper.work.fd, stage.path, backingMode(upper.layer, mode), wanted);
    own(upper, stage.path, { uid, gid, mode, rdev: wanted.rdev ?? [0, 0] });
    if (isDirectory && spot.isWhitedOut) setOpaque(joinHost(upper.work.path, stage.path), union.namespace);
    if (spot.isWhitedOut) moveOverWhiteout(upper, stage.path, spot.path, isDirectory);
    else file.renameAt(upper.work.fd, stage.path, upper.layer.fd, spot.path);
  } catch (error) {
    if (fd >= 0) file.close(fd);
    discard(upper, stage.name);
    throw error;
  }
  if (stage.name !== stage.path) discard(upper, stage.name);
  return enter(union, parent, name, fd, hasNoXattrs);
}

/** A device 0:0 would be a whiteout. */
function isZero(device: NewFile["rdev"]): boolean {
  return device === undefined || (device[0] === 0 && device[1] === 0);
}

/**
 * Where something is made that takes several steps, or takes the place of a whiteout: in the workdir, so that it is seen
 * when it is whole. A default ACL is inherited from a directory alone: then the stage is one that has it.
 */
function openStage(union: Union, upper: Upper, parent: Node, { hasDefaultAcl }: Inheritance): Stage {
  const name = upper.temporaryName();
  if (!hasDefaultAcl) return { name, path: name };
  file.mkdirAt(upper.work.fd, name, 0o700);
  const acl = getXattr(union.xattrTargetOf(parent), DEFAULT_ACL);
  if (acl !== null) setXattr(joinHost(upper.work.path, name), DEFAULT_ACL, acl);
  return { name, path: `${name}/new` };
}

/** A name that is free, in a directory that is in the upperdir from now on. */
function prepare(union: Union, parent: Node, name: string): Spot {
  union.writable();
  if (name.length > NAME_MAX) throw new PosixError(ERRNO.ENAMETOOLONG, "create");
  if (isReserved(union, name)) throw new PosixError(ERRNO.EPERM, "create");
  if (parent.isOrphan) throw new PosixError(ERRNO.ENOENT, "create");
  const entry = union.indexOf(parent).get(name);
  if (isVisible(entry)) throw new PosixError(ERRNO.EEXIST, "create");
  const upper = copyUp(union, parent);
  return { upper, path: union.childPath(parent, name), isWhitedOut: entry?.upper === "whiteout" };
}

/** Linux' rules: the umask counts unless there is a default ACL; directories keep the setgid bit of theirs. */
function modeOf({ mode, umask }: NewFile, { gid, hasDefaultAcl }: Inheritance): number {
  const masked = hasDefaultAcl ? mode : mode & ~(umask & 0o777);
  return gid !== null && (mode & file.S_IFMT) === file.S_IFDIR ? masked | 0o2000 : masked;
}

/** The descriptor of a regular file; -1 for anything else. */
function make(dirfd: number, path: string, mode: number, { rdev, target }: NewFile): number {
  switch (mode & file.S_IFMT) {
    case file.S_IFREG:
      return file.openAt(dirfd, path, file.O_CREAT | file.O_EXCL | file.O_RDWR | file.O_NOFOLLOW, mode & 0o7777);
    case file.S_IFDIR:
      file.mkdirAt(dirfd, path, mode & 0o7777);
      return -1;
    case file.S_IFLNK:
      file.symlinkAt(target ?? "", dirfd, path);
      return -1;
    default:
      file.mknodAt(dirfd, path, mode, ...(rdev ?? [0, 0]));
      return -1;
  }
}

/** Gives what was made in the workdir its owner and mode. */
function own(upper: Upper, path: string, wanted: Wanted): void {
  const { layer, work } = upper;
  const place = { fd: work.fd, path };
  if (putOwnership(layer, { place, target: joinHost(work.path, path) }, wanted)) return;
  const { uid, gid, mode } = wanted;
  if (uid !== SERVER.uid || gid !== SERVER.gid) file.chown(work.fd, path, uid, gid);
  setSpecialBits(work.fd, path, mode);
}

/** What chown(2) takes from a file, and mkdir(2) does not give: a directory has it from the one it is made in. */
function setSpecialBits(dirfd: number, path: string, mode: number): void {
  const type = mode & file.S_IFMT;
  if ((mode & 0o6000) === 0 || (type !== file.S_IFREG && type !== file.S_IFDIR)) return;
  file.chmod(dirfd, path, statAt(dirfd, path).mode | (mode & 0o6000));
}

/** What new entries of a directory get from it. */
function inheritanceOf(union: Union, directory: Node): Inheritance {
  if (directory.inheritance === null) {
    const stat = union.statOf(directory);
    directory.inheritance = {
      gid: (stat.mode & 0o2000) === 0 ? null : stat.gid,
      hasDefaultAcl: union.hasAcls && getXattr(union.xattrTargetOf(directory), DEFAULT_ACL) !== null,
    };
  }
  return directory.inheritance;
}

/** Puts what was made in the workdir in the place of a whiteout. */
export function moveOverWhiteout({ layer, work }: Upper, temporary: string, path: string, isDirectory: boolean): void {
  if (!isDirectory) {
    file.renameAt(work.fd, temporary, layer.fd, path);
    return;
  }
  file.renameAt(work.fd, temporary, layer.fd, path, file.RENAME_EXCHANGE);
  file.unlinkAt(work.fd, temporary); // the whiteout
}

/** Makes the node of a file that is new in the upperdir. `fd` is its descriptor, or -1. */
function enter(union: Union, parent: Node, name: string, fd: number, hasNoXattrs: boolean): Found {
  const { layer } = union.writable();
  const at = { layer, path: union.childPath(parent, name) };
  const stat = fd >= 0 ? shownStat(layer, statAt(fd, null), () => fd) : statIn(at);
  const ino = union.inodeNumber(layer, stat);
  union.indexOf(parent).setPresent(name, stat.mode >> 12, ino);
  const node = union.nodes.add(stat.mode & file.S_IFMT, ino, true, []);
  union.nodes.attach(node, parent, name);
  if (fd >= 0 && node.type !== file.S_IFREG)
    file.close(fd); // a stand-in
  else node.fd = fd;
  union.openFiles.wasOpened(fd);
  node.isWritable = node.fd >= 0;
  node.hasNoXattrs = hasNoXattrs && !union.hasLabels;
  node.isWhole = true;
  if (node.isDirectory) node.isImpure = false;
  return { node, stat };
}

/** One more name for a file. @throws PosixError as `create`; `EPERM` for a directory, `ENOENT` for what has no name left */
export function link(union: Union, node: Node, parent: Node, name: string): Found {
  if (node.isDirectory) throw new PosixError(ERRNO.EPERM, "link");
  const spot = prepare(union, parent, name);
  const upper = copyUp(union, node);
  makeWhole(union, node); // a metacopy finds its content by its name
  const mayBeCopy = node.names.some((each) => each.parent.isImpure !== false);
  if (mayBeCopy) markImpure(union, parent); // or its number would be another by this name
  const { fd, path } = union.namedPlaceOf(node);
  const destination = spot.isWhitedOut
    ? { fd: upper.work.fd, path: upper.temporaryName() }
    : { fd: upper.layer.fd, path: spot.path };
  if (path !== null) file.linkAt(fd, path, destination.fd, destination.path);
  else linkUnnamed(fd, destination.fd, destination.path);
  try {
    if (spot.isWhitedOut) moveOverWhiteout(upper, destination.path, spot.path, false);
  } catch (error) {
    discard(upper, destination.path);
    throw error;
  }
  const stat = union.statOf(node);
  union.indexOf(parent).setPresent(name, node.type >> 12, node.ino);
  union.nodes.attach(node, parent, name);
  if (node.linkKey === "") union.nodes.setLink(node, `${upper.layer.fileSystem}:${stat.ino}`);
  return { node, stat };
}

/** A file made by O_TMPFILE gets its first name. @throws PosixError `ENOENT` if it was unlinked and has none by right */
function linkUnnamed(fd: number, toDirfd: number, to: string): void {
  file.linkAt(fd, "", toDirfd, to, file.AT_EMPTY_PATH);
}

/** A regular file without a name in the directory's file system (O_TMPFILE). */
export function createUnnamed(union: Union, caller: Caller, parent: Node, wanted: NewFile): Found {
  const upper = copyUp(union, parent);
  const inheritance = inheritanceOf(union, parent);
  const mode = modeOf(wanted, inheritance);
  const fd = file.openAt(
    upper.layer.fd,
    union.upperPath(parent),
    file.O_TMPFILE | file.O_RDWR,
    backingMode(upper.layer, mode) & 0o7777,
  );
  const gid = inheritance.gid ?? gidOnDisk(union, caller.gid);
  const uid = uidOnDisk(union, caller.uid);
  try {
    const isKept = putOwnership(
      upper.layer,
      { place: { fd, path: null }, target: fd },
      { uid, gid, mode, rdev: [0, 0] },
    );
    if (!isKept && (uid !== SERVER.uid || gid !== SERVER.gid)) {
      file.chown(fd, null, uid, gid);
      file.chmod(fd, null, mode);
    }
  } catch (error) {
    file.close(fd);
    throw error;
  }
  const stat = shownStat(upper.layer, statAt(fd, null), () => fd);
  const node = union.nodes.add(file.S_IFREG, union.inodeNumber(upper.layer, stat), true, []);
  node.fd = fd;
  union.openFiles.wasOpened(fd);
  node.isWritable = true;
  node.isWhole = true;
  return { node, stat };
}
