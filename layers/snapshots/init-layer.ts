/**
 * The init layer: what a runtime puts into a tree for the machine's sake. It lies in a lowerdir of its own between the
 * upperdir and the image, so that a diff against the image alone never sees it, while what the user changes in it is
 * copied up and is seen. Docker calls its like "-init" (daemon/initlayer); the paths are the same.
 */

import { mkdirSync } from "node:fs";
import { type LayerForm, NATIVE } from "../../src/overlay/layer-form.ts";
import { isMergedDirectory, type MergedEntry, type MergedTree } from "../../src/overlay/merged-tree.ts";
import { storedXattr } from "../../src/overlay/override-names.ts";
import { formatOwnership } from "../../src/overlay/override-stat.ts";
import { bytesOf, type HostPath, joinHost, type LayerPath, parentPath } from "../../src/paths.ts";
import {
  AT_FDCWD,
  chmod,
  chown,
  close,
  O_CREAT,
  O_EXCL,
  O_WRONLY,
  openAt,
  setTimes,
  symlinkAt,
} from "../../src/sys/file.ts";
import { setXattr } from "../../src/sys/xattr.ts";

/** A stub: an empty file or directory, or a symbolic link. */
type Stub = { readonly type: "file" | "directory" } | { readonly type: "symlink"; readonly target: string };

const FILE: Stub = { type: "file" };
const DIRECTORY: Stub = { type: "directory" };

const STUBS: readonly (readonly [path: string, stub: Stub])[] = [
  [".dockerenv", FILE],
  ["dev", DIRECTORY],
  ["dev/console", FILE],
  ["dev/pts", DIRECTORY],
  ["dev/shm", DIRECTORY],
  ["etc", DIRECTORY],
  ["etc/hostname", FILE],
  ["etc/hosts", FILE],
  ["etc/mtab", { type: "symlink", target: "/proc/mounts" }],
  ["etc/resolv.conf", FILE],
  ["proc", DIRECTORY],
  ["sys", DIRECTORY],
];

/**
 * Fills `directory`, which exists and is empty, with the stubs that `lower` has nothing for. Directories above them look
 * as they do in `lower`, which is of the form; `directory` itself looks like its root.
 * @throws a system error
 */
export function makeInitLayer(directory: HostPath, lower: MergedTree, form: LayerForm = NATIVE): void {
  const copied = new Map<LayerPath, MergedEntry>([[lower.root.path, lower.root]]);
  for (const [name, stub] of STUBS) {
    const path = name as LayerPath;
    if (lower.lookup(path) !== null) continue;
    if (copyParents(directory, lower, parentPath(path), copied)) makeStub(joinHost(directory, name), stub, form);
  }
  // Last, and what is inside first: making a stub changes the time of the directory it is in.
  for (const entry of [...copied.values()].reverse()) copyMetadata(lower, entry, joinHost(directory, entry.path), form);
}

/** Makes the directories above a stub; false if the image has something else there. */
function copyParents(
  directory: HostPath,
  lower: MergedTree,
  path: LayerPath,
  copied: Map<LayerPath, MergedEntry>,
): boolean {
  if (path === "" || copied.has(path)) return true;
  const entry = lower.lookup(path);
  if (entry === null) return true; // a stub itself, which was made before what is in it
  if (!isMergedDirectory(entry) || !copyParents(directory, lower, parentPath(path), copied)) return false;
  mkdirSync(bytesOf(joinHost(directory, path)), { mode: 0o755 });
  copied.set(path, entry);
  return true;
}

function makeStub(path: HostPath, stub: Stub, { override }: LayerForm): void {
  if (stub.type === "symlink") {
    symlinkAt(stub.target, AT_FDCWD, path);
    return;
  }
  if (stub.type === "file") close(openAt(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0o755));
  else mkdirSync(bytesOf(path), { mode: 0o755 });
  chmod(AT_FDCWD, path, 0o755); // whatever the umask is
  if (override !== null) {
    setXattr(path, override, formatOwnership({ uid: 0, gid: 0, mode: 0o755, rdevMajor: 0, rdevMinor: 0 }));
  }
}

function copyMetadata(lower: MergedTree, entry: MergedEntry, path: HostPath, { namespace, override }: LayerForm): void {
  const { uid, gid, mode, atimeNs, mtimeNs } = entry.stat;
  for (const [name, value] of lower.visibleXattrs(entry)) {
    setXattr(path, storedXattr(name, namespace, override) ?? name, value);
  }
  if (override !== null) setXattr(path, override, formatOwnership(entry.stat));
  else {
    chown(AT_FDCWD, path, uid, gid);
    chmod(AT_FDCWD, path, mode & 0o7777);
  }
  setTimes(AT_FDCWD, path, atimeNs, mtimeNs);
}
