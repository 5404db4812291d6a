/** Walks a directory tree by descriptor, so that paths of any length and bytes are reached. Never follows a link. */

import { childPath, type HostPath, hostPath, type LayerPath, ROOT } from "../paths.ts";
import { listDirectory } from "./directory.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openAt, S_IFDIR, S_IFMT } from "./file.ts";
import { type Stat, statAt } from "./stat.ts";

/** What lies below the root of a walk. */
export interface WalkEntry {
  readonly path: LayerPath;
  readonly name: string;
  /** The open directory that it is in; open only while the entry is being looked at. */
  readonly parentFd: number;
  readonly stat: Stat;
}

/**
 * Everything below a directory, a directory before what is in it, names sorted by bytes. Other mounts are passed over.
 * The tree should not change meanwhile. @throws PosixError
 */
export function* walkTree(root: HostPath): Generator<WalkEntry> {
  const fd = openAt(AT_FDCWD, root, O_RDONLY | O_DIRECTORY);
  try {
    yield* walkDirectory(fd, ROOT, statAt(fd, null).mountId);
  } finally {
    close(fd);
  }
}

function* walkDirectory(fd: number, path: LayerPath, mountId: number): Generator<WalkEntry> {
  for (const { name } of listDirectory(hostPath(`/proc/self/fd/${fd}`))) {
    const entry = { path: childPath(path, name), name, parentFd: fd, stat: statAt(fd, name) };
    if (entry.stat.mountId !== mountId) continue;
    yield entry;
    if ((entry.stat.mode & S_IFMT) !== S_IFDIR) continue;
    const child = openAt(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      yield* walkDirectory(child, entry.path, mountId);
    } finally {
      close(child);
    }
  }
}
