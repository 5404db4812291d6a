/**
 * Removes a tree of any depth and any names. Nothing outside it is touched: symbolic links are removed and never
 * followed, and what is mounted below stops it. Directories are walked by descriptor, and what lies too deep is first
 * moved up, so that neither PATH_MAX nor the number of open files bounds the depth.
 */

import { constants } from "node:os";
import { isErrno, PosixError } from "../errors.ts";
import { type HostPath, hostPath } from "../paths.ts";
import { listDirectory } from "./directory.ts";
import * as file from "./file.ts";
import { statAt, statAtOrNull } from "./stat.ts";

const DEEPEST = 50;

interface Walk {
  readonly path: HostPath;
  readonly rootFd: number;
  readonly mountId: number;
  /** Directories moved up into the root so far: each got the next number in its name. */
  moved: number;
}

/**
 * Removes the file, or the directory and everything in it; nothing there is fine too.
 * @throws PosixError `EBUSY` if something is mounted there or in it: what was walked before is gone then
 */
export function removeTree(path: HostPath): void {
  for (const _ of removeTreeInSteps(path));
}

/** As `removeTree`, a directory at each step: for trees so large that signals and timers want their turn between. */
export function* removeTreeInSteps(path: HostPath): Generator<void> {
  const stat = statAtOrNull(file.AT_FDCWD, path);
  if (stat === null) return;
  if ((stat.mode & file.S_IFMT) !== file.S_IFDIR) {
    file.unlinkAt(file.AT_FDCWD, path);
    return;
  }
  const rootFd = openDirectory(file.AT_FDCWD, path);
  try {
    const walk: Walk = { path, rootFd, mountId: statAt(rootFd, "..").mountId, moved: 0 };
    let movedBefore: number;
    do {
      movedBefore = walk.moved; // what was moved up is found by listing the root again
      yield* emptyDirectory(walk, rootFd, 0);
    } while (walk.moved > movedBefore);
  } finally {
    file.close(rootFd);
  }
  file.unlinkAt(file.AT_FDCWD, path, file.AT_REMOVEDIR);
}

function* emptyDirectory(walk: Walk, fd: number, depth: number): Generator<void> {
  if (statAt(fd, null).mountId !== walk.mountId) {
    throw new PosixError(constants.errno.EBUSY, "remove", walk.path);
  }
  for (const { name, kind } of listDirectory(hostPath(`/proc/self/fd/${fd}`))) {
    if (kind !== "directory") {
      file.unlinkAt(fd, name);
    } else if (depth >= DEEPEST) {
      moveUp(walk, fd, name);
    } else {
      yield* removeDirectory(walk, fd, name, depth + 1);
    }
  }
}

function* removeDirectory(walk: Walk, parentFd: number, name: string, depth: number): Generator<void> {
  const fd = openDirectory(parentFd, name);
  try {
    yield* emptyDirectory(walk, fd, depth);
  } finally {
    file.close(fd);
  }
  file.unlinkAt(parentFd, name, file.AT_REMOVEDIR);
  yield;
}

function moveUp(walk: Walk, fd: number, name: string): void {
  for (;;) {
    walk.moved += 1;
    try {
      file.renameAt(fd, name, walk.rootFd, `.moved-up-${walk.moved}`, file.RENAME_NOREPLACE);
      return;
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
}

/** Opens a directory for emptying it: without root, one that its owner may not change or read is made so first. */
function openDirectory(parentFd: number, name: string): number {
  const flags = file.O_RDONLY | file.O_DIRECTORY | file.O_NOFOLLOW;
  if (process.geteuid?.() === 0) return file.openAt(parentFd, name, flags);
  file.chmod(parentFd, name, 0o700);
  return file.openAt(parentFd, name, flags);
}
