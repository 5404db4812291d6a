/**
 * The workdir, laid out as overlayfs does: `work/` for what is being made and is not whole yet, `index/` for copies of
 * lower files that have several names. What an earlier server left unfinished in `work/` is removed.
 */

import { isErrno, PosixError } from "../../src/errors.ts";
import { hasVolatileMark, makeVolatileMark } from "../../src/overlay/volatile-mark.ts";
import { makeWhiteout } from "../../src/overlay/whiteout.ts";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { type HostPath, joinHost } from "../../src/paths.ts";
import { listDirectory } from "../../src/sys/directory.ts";
import {
  AT_FDCWD,
  chmod,
  chown,
  close,
  linkAt,
  mkdirAt,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openAt,
  S_IFDIR,
  S_IFMT,
  unlinkAt,
} from "../../src/sys/file.ts";
import { tryLock } from "../../src/sys/lock.ts";
import { removeTree } from "../../src/sys/remove-tree.ts";
import { type Stat, statAt, statAtOrNull } from "../../src/sys/stat.ts";
import { removeXattrIfSet } from "../../src/sys/xattr.ts";
import { type Layer, pathOf } from "./layer.ts";
import { SERVER } from "./ownership.ts";

const [EBUSY, EINVAL, EXDEV] = [16, 22, 18];
const [PATIENCE_MS, RETRY_MS] = [3000, 5];
/** In `work`: all whiteouts are links to it. */
const WHITEOUT = "#whiteout";
const WORK_MODE = 0o700;
/** What nobody wakes: for waiting. */
const NOBODY = new Int32Array(new SharedArrayBuffer(4));

/** Where changes go. */
export interface Upper {
  readonly layer: Layer;
  readonly work: Directory;
  readonly index: Directory & {
    /** It has, or had, entries. */
    isUsed: boolean;
  };
  /** File systems of lower files ("major:minor") that a copy was found not to share extents with. */
  readonly cannotShare: Set<string>;
  /**
   * Where whiteouts cannot be devices, because the upperdir is on an overlay: the namespace of the attribute that makes
   * whiteouts of files there. null: devices.
   */
  readonly xattrWhiteouts: OverlayNamespace | null;
  /** A name in `work` that nothing has. */
  temporaryName(): string;
  /** Lets go of the workdir: another server may have it. */
  close(): void;
}

/** An open directory. */
export interface Directory {
  readonly fd: number;
  /** Leads there through `fd`, as `hostPathAt` does. */
  readonly path: HostPath;
}

/**
 * @throws PosixError `EBUSY` if another server uses the workdir or the upperdir, `EINVAL` if a volatile mount left its mark,
 *   or one of the two is in the other; `EXDEV` if it is not on the upperdir's file system
 */
export function openWorkdir(
  layer: Layer,
  workdir: HostPath,
  { isVolatile, namespace }: { readonly isVolatile: boolean; readonly namespace: OverlayNamespace },
): Upper {
  const fd = openAt(AT_FDCWD, workdir, O_RDONLY | O_DIRECTORY);
  const [own, upper] = [statAt(fd, null), statAt(layer.fd, null)];
  if (own.devMajor !== upper.devMajor || own.devMinor !== upper.devMinor) {
    throw new PosixError(EXDEV, "use as workdir", workdir);
  }
  if (isWithin(fd, upper) || isWithin(layer.fd, own)) throw new PosixError(EINVAL, "use as workdir", workdir);
  waitForLock(fd, workdir);
  const lock = openAt(layer.fd, ".", O_RDONLY | O_DIRECTORY);
  waitForLock(lock, layer.path);
  if (hasVolatileMark(workdir)) throw new PosixError(EINVAL, "use as workdir, after a volatile mount,", workdir);
  removeTree(joinHost(workdir, "work"));
  const work = openMade(fd, "work");
  ownMade(work);
  const indexDirectory = openMade(fd, "index");
  if (isVolatile) makeVolatileMark(workdir);
  let last = 0;
  return {
    layer,
    work,
    cannotShare: new Set(),
    xattrWhiteouts: takesDevices(work.fd) ? null : namespace,
    index: { ...indexDirectory, isUsed: listDirectory(indexDirectory.path).length > 0 },
    close: () => {
      if (statAtOrNull(work.fd, WHITEOUT) !== null) unlinkAt(work.fd, WHITEOUT);
      for (const open of [work.fd, indexDirectory.fd, lock, fd]) close(open);
    },
    temporaryName: () => {
      last += 1;
      return `#${last.toString(16)}`;
    },
  };
}

/** True if an open directory is another, or below it. */
function isWithin(directory: number, other: Stat): boolean {
  let at = openAt(directory, ".", O_PATH | O_DIRECTORY);
  try {
    for (let stat = statAt(at, null); ; ) {
      if (isSame(stat, other)) return true;
      const above = openAt(at, "..", O_PATH | O_DIRECTORY);
      close(at);
      at = above;
      const next = statAt(at, null);
      if (isSame(next, stat)) return false; // the root
      stat = next;
    }
  } finally {
    close(at);
  }
}

function isSame(a: Stat, b: Stat): boolean {
  return a.ino === b.ino && a.devMajor === b.devMajor && a.devMinor === b.devMinor;
}

/** Waits a moment: a server whose mount was taken away needs one to end. */
function waitForLock(fd: number, path: HostPath): void {
  const until = Date.now() + PATIENCE_MS;
  while (!tryLock(fd, "exclusive")) {
    if (Date.now() > until) throw new PosixError(EBUSY, "lock", path);
    Atomics.wait(NOBODY, 0, 0, RETRY_MS);
  }
}

/** An overlay refuses a device 0:0, which would be a whiteout of its own. */
function takesDevices(work: number): boolean {
  try {
    makeWhiteout(work, WHITEOUT);
  } catch (error) {
    if (isErrno(error, "EPERM", "EINVAL", "ENOTSUP")) return false;
    throw error;
  }
  unlinkAt(work, WHITEOUT);
  return true;
}

/**
 * Makes a whiteout: one more name of one that all share, as in the kernel, so that hiding a whole tree takes one inode.
 * @throws PosixError
 */
export function linkWhiteout({ work }: Upper, dirfd: number, path: string): void {
  try {
    linkAt(work.fd, WHITEOUT, dirfd, path);
  } catch (error) {
    if (isErrno(error, "EPERM", "ENOTSUP")) {
      makeWhiteout(dirfd, path); // a file system without hard links
      return;
    }
    if (!isErrno(error, "EMLINK", "ENOENT")) throw error;
    if (statAtOrNull(work.fd, WHITEOUT) !== null) unlinkAt(work.fd, WHITEOUT); // it has as many names as it can have
    makeWhiteout(work.fd, WHITEOUT);
    linkAt(work.fd, WHITEOUT, dirfd, path);
  }
}

function openMade(dirfd: number, name: string): Directory {
  try {
    mkdirAt(dirfd, name, WORK_MODE);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  const fd = openAt(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  return { fd, path: pathOf(fd) };
}

/**
 * What is made in `work` gets the owner and mode that it is made with: nothing is inherited from the directories above, as in
 * the kernel (`ovl_workdir_create`).
 */
function ownMade({ fd }: Directory): void {
  for (const acl of ["system.posix_acl_access", "system.posix_acl_default"]) removeXattrIfSet(fd, acl);
  const { uid, gid, mode } = statAt(fd, null);
  if (uid !== SERVER.uid || gid !== SERVER.gid) chown(fd, null, SERVER.uid, SERVER.gid);
  if ((mode & 0o7777) !== WORK_MODE) chmod(fd, null, WORK_MODE);
}

/** Removes something from `work`, a directory with all that is in it. */
export function discard({ work }: Upper, name: string): void {
  const stat = statAtOrNull(work.fd, name);
  if (stat === null) return;
  if ((stat.mode & S_IFMT) !== S_IFDIR) unlinkAt(work.fd, name);
  else removeTree(joinHost(work.path, name));
}
