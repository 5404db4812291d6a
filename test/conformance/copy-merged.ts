/** Writes out what a stack of layers shows, as plain files: what an ordinary file system holds in its place. */

import { mkdirSync } from "node:fs";
import { isMergedDirectory, type MergedEntry, MergedTree } from "../../src/overlay/merged-tree.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { copyFileRange, dataExtents } from "../../src/sys/copy.ts";
import {
  AT_FDCWD,
  chmod,
  chown,
  close,
  linkAt,
  mknodAt,
  O_CREAT,
  O_RDONLY,
  O_WRONLY,
  openAt,
  readlinkAt,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  setTimes,
  symlinkAt,
  truncate,
} from "../../src/sys/file.ts";
import { setXattr } from "../../src/sys/xattr.ts";
import { writableNamespace } from "../helpers/tree.ts";
import { SEEK_SET, seek } from "./calls.ts";

/** Everything that `lowerdirs`, top first, show below their roots is in `target`, hard links and holes too. */
export function copyMerged(lowerdirs: readonly HostPath[], target: HostPath): void {
  const tree = new MergedTree(lowerdirs, { namespace: writableNamespace });
  const copied = new Map<string, HostPath>();
  const copyInto = (directory: MergedEntry, to: HostPath): void => {
    for (const entry of tree.list(directory)) {
      const path = joinHost(to, entry.name);
      if (isMergedDirectory(entry)) {
        mkdirSync(bytesOf(path));
        copyInto(entry, path);
      } else if (!linkAgain(copied, entry, path)) copyEntry(entry, path);
      copyMetadata(tree, entry, path);
    }
  };
  copyInto(tree.root, target);
}

/** A file that was copied under another name already gets this one too. */
function linkAgain(copied: Map<string, HostPath>, { stat }: MergedEntry, path: HostPath): boolean {
  if (stat.nlink < 2) return false;
  const inode = `${stat.devMajor}:${stat.devMinor}:${stat.ino}`;
  const first = copied.get(inode);
  if (first === undefined) copied.set(inode, path);
  else linkAt(AT_FDCWD, first, AT_FDCWD, path);
  return first !== undefined;
}

function copyEntry({ stat, hostPath, dataPath }: MergedEntry, path: HostPath): void {
  const kind = stat.mode & S_IFMT;
  if (kind === S_IFLNK) symlinkAt(readlinkAt(AT_FDCWD, hostPath), AT_FDCWD, path);
  else if (kind === S_IFREG) copyData(dataPath, path, stat.sizeBytes);
  else mknodAt(AT_FDCWD, path, kind | 0o600, stat.rdevMajor, stat.rdevMinor);
}

function copyData(from: HostPath, to: HostPath, sizeBytes: number): void {
  const [source, copy] = [openAt(AT_FDCWD, from, O_RDONLY), openAt(AT_FDCWD, to, O_WRONLY | O_CREAT, 0o600)];
  try {
    for (const [start, end] of dataExtents(source, sizeBytes)) {
      for (const fd of [source, copy]) seek(fd, start, SEEK_SET);
      copyFileRange(source, copy, end - start);
    }
    truncate(copy, sizeBytes);
  } finally {
    close(source);
    close(copy);
  }
}

function copyMetadata(tree: MergedTree, entry: MergedEntry, path: HostPath): void {
  const { stat } = entry;
  chown(AT_FDCWD, path, stat.uid, stat.gid);
  if ((stat.mode & S_IFMT) !== S_IFLNK) chmod(AT_FDCWD, path, stat.mode);
  for (const [name, value] of tree.visibleXattrs(entry)) setXattr(path, name, value);
  setTimes(AT_FDCWD, path, stat.atimeNs, stat.mtimeNs);
}
