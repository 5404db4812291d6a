/**
 * A copy of a lower file in the workdir, before it is moved to its place: content, owner, attributes, mode and times. What
 * is regular is open all the while, because a call with a descriptor costs less than one with a path.
 */

import { isErrno, isSystemError, PosixError } from "../../src/errors.ts";
import { shownXattr } from "../../src/overlay/override-names.ts";
import { joinHost } from "../../src/paths.ts";
import { startWriting } from "../../src/sys/data.ts";
import * as file from "../../src/sys/file.ts";
import { type Stat, statAt } from "../../src/sys/stat.ts";
import { setTimesPartly } from "../../src/sys/times.ts";
import { getXattr, listXattrs, setXattr, type XattrTarget } from "../../src/sys/xattr.ts";
import { contentFd, letGo } from "./content.ts";
import { copyContent } from "./copy-content.ts";
import { ERRNO } from "./errno.ts";
import { hostPathAt, type Layer, type Location } from "./layer.ts";
import type { Node } from "./node.ts";
import { markOrigin, originOf } from "./origin.ts";
import { backingMode, type OnDisk, putOwnership, SERVER, statIn } from "./ownership.ts";
import type { Union } from "./union.ts";
import { discard, type Upper } from "./workdir.ts";

/** How much of a regular file's content its copy needs. */
export type Wanted = "all" | "nothing";

/** A copy that is whole. */
export interface Copy extends OnDisk {
  /** In the workdir. */
  readonly name: string;
  /** Of a regular file, open for reading and writing; -1 for anything else. The caller closes it. */
  readonly fd: number;
  /** What the lower file is. */
  readonly stat: Stat;
  /** Names the lower file (`origin.ts`); null of a directory, and where there are no handles. */
  readonly origin: Buffer | null;
}

/** What is copied. */
interface Source {
  readonly lower: Location;
  readonly stat: Stat;
  readonly target: XattrTarget;
  /** It has no attributes. */
  readonly isBare: boolean;
  /** Its content is not wanted. */
  readonly isEmptied: boolean;
  readonly origin: Buffer | null;
}

/** Makes the copy, or finishes the one that was begun (`Union.prepared`). A failure leaves nothing. @throws PosixError */
export function makeCopy(union: Union, upper: Upper, node: Node, wanted: Wanted): Copy {
  const prepared = wanted === "all" ? takePrepared(union, node) : null;
  const name = prepared ?? upper.temporaryName();
  const isContentWanted = prepared === null && wanted === "all" && node.type === file.S_IFREG;
  let fd = -1;
  try {
    const from = isContentWanted ? contentFd(union, node, false) : -1;
    const source = sourceOf(node, from, wanted);
    const { stat, origin } = source;
    fd = prepared === null ? make(upper, name, source) : file.openAt(upper.work.fd, name, file.O_RDWR);
    if (from >= 0) copyContent(upper, from, fd, stat);
    if (from >= 0 && !union.options.volatile) startWriting(fd); // or a power cut may leave the name without the content
    const place = fd >= 0 ? { fd, path: null } : { fd: upper.work.fd, path: name };
    const target = fd >= 0 ? fd : joinHost(upper.work.path, name);
    copyMetadata(union, upper, { place, target }, source, prepared === null);
    return { place, target, name, fd, stat, origin };
  } catch (error) {
    if (fd >= 0) file.close(fd);
    discard(upper, name);
    throw error;
  } finally {
    if (node.opens === 0) letGo(node); // it was opened for the copy alone
  }
}

/** A file in the workdir that has the content of `node` already (`fuse/server/large-copies.ts`). */
function takePrepared({ prepared }: Union, node: Node): string | null {
  const name = prepared.get(node) ?? null;
  prepared.delete(node);
  return name;
}

/** What is asked of the lower file; of `from`, which is open for its content, where that is the file itself. @throws PosixError */
function sourceOf(node: Node, from: number, wanted: Wanted): Source {
  const lower = lowerOf(node);
  const isBare = from >= 0 && node.hasNoXattrs; // so it is no metacopy either
  const place = isBare ? { fd: from, path: null } : { fd: lower.layer.fd, path: lower.path };
  return {
    lower,
    stat: isBare ? statAt(from, null) : statIn(lower),
    target: isBare ? from : hostPathAt(lower.layer, lower.path),
    isBare,
    isEmptied: wanted === "nothing",
    origin: node.isDirectory ? null : originOf(lower.layer, place),
  };
}

/** Where a node is that is not in the upperdir. @throws PosixError */
export function lowerOf(node: Node): Location {
  const [lower] = node.lowers;
  if (lower === undefined) throw new PosixError(ERRNO.EIO, "copy-up");
  return lower;
}

/** Makes the file, with its mode as far as that can be said here; the descriptor of a regular one, or -1. @throws PosixError */
function make({ work, layer }: Upper, name: string, { lower, stat }: Source): number {
  const mode = backingMode(layer, stat.mode);
  switch (mode & file.S_IFMT) {
    case file.S_IFDIR:
      file.mkdirAt(work.fd, name, mode & 0o777);
      return -1;
    case file.S_IFLNK:
      file.symlinkAt(file.readlinkAt(lower.layer.fd, lower.path), work.fd, name);
      return -1;
    case file.S_IFREG:
      return file.openAt(work.fd, name, file.O_CREAT | file.O_EXCL | file.O_RDWR, mode & 0o777);
    default:
      file.mknodAt(work.fd, name, mode, stat.rdevMajor, stat.rdevMinor);
      return -1;
  }
}

/** What a file is not made with, and chown(2) takes away. */
const SPECIAL_BITS = 0o7000;

/**
 * Owner, attributes, mode and times, in the order in which none undoes another. `hasMode`: it was made with its mode, the
 * special bits left out; a server has no umask.
 */
function copyMetadata(union: Union, { layer }: Upper, copy: OnDisk, source: Source, hasMode: boolean): void {
  const { stat, isEmptied, origin } = source;
  const { uid, gid, mode, rdevMajor, rdevMinor } = stat;
  const { fd, path } = copy.place;
  const isKept = putOwnership(layer, copy, { uid, gid, mode, rdev: [rdevMajor, rdevMinor] });
  if (!isKept && SERVER.uid === 0 && (uid !== SERVER.uid || gid !== SERVER.gid)) file.chown(fd, path, uid, gid);
  if (!source.isBare) copyXattrs(union, layer, source, copy.target);
  const isModeLeft = !hasMode || (mode & SPECIAL_BITS) !== 0;
  if (isModeLeft && (mode & file.S_IFMT) !== file.S_IFLNK) file.chmod(fd, path, backingMode(layer, mode));
  const mtime = isEmptied ? "keep" : { seconds: stat.mtimeSeconds, rest: stat.mtimeRest }; // emptied: that is now
  setTimesPartly(fd, path, { seconds: stat.atimeSeconds, rest: stat.atimeRest }, mtime);
  if (origin !== null) tryXattr(union, () => markOrigin(union, copy.target, origin));
}

function copyXattrs(union: Union, upper: Layer, { lower, target }: Source, to: XattrTarget): void {
  for (const name of listXattrs(target)) {
    const shown = shownXattr(name, union.namespace, lower.layer.override);
    if (shown === null) continue; // a layer's own speak of the place they are at
    if (!union.hasAcls && union.storedName(upper, shown).startsWith("system.")) continue;
    const value = getXattr(target, name);
    const set = (): void => setXattr(to, union.storedName(upper, shown), value ?? Buffer.alloc(0));
    if (value !== null) tryXattr(union, set, "EPERM", "ENOTSUP", "EINVAL");
  }
}

/** What keeps an attribute from being set that the tree is the same without. */
const DISPENSABLE = ["EPERM", "ENOTSUP", "EINVAL", "ENOSPC", "EDQUOT", "E2BIG"] as const;

/** Sets an attribute; one that cannot be set for one of these reasons is left out, and said. */
export function tryXattr(union: Union, set: () => void, ...reasons: readonly string[]): void {
  try {
    set();
  } catch (error) {
    if (!isSystemError(error) || !isErrno(error, ...(reasons.length > 0 ? reasons : DISPENSABLE))) throw error;
    union.log.warn("copy-up.xattr.skipped", { code: error.code, path: error.path });
  }
}
