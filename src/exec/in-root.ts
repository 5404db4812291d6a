/**
 * Places in a tree that is another process's root: no path leads out of it, whatever symbolic links it has. Mounts go to
 * /proc/self/fd/N, so that what was looked up is what is mounted on.
 */

import { isErrno } from "../errors.ts";
import type { HostPath } from "../paths.ts";
import { close, mkdirAt, O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_WRONLY, openInRoot } from "../sys/file.ts";

/** Does `work` with the open `path` below `root`; its result, or null if there is no such path. @throws PosixError */
export function withPath<Result>(root: number, path: string, work: (fd: number) => Result): Result | null {
  let fd: number;
  try {
    fd = openInRoot(root, path, O_PATH);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
  try {
    return work(fd);
  } finally {
    close(fd);
  }
}

/** The name by which mount(2) finds an open file or directory. */
export function descriptorPath(fd: number): HostPath {
  return `/proc/self/fd/${fd}` as HostPath;
}

/** Makes the directory `path` and those above it, mode 0755, where they are missing. @throws PosixError */
export function makeDirectory(root: number, path: string): void {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  for (let depth = 1; depth <= names.length; depth++) {
    if (withPath(root, names.slice(0, depth).join("/"), () => true) !== null) continue;
    const name = names[depth - 1] ?? "";
    withPath(root, names.slice(0, depth - 1).join("/") || ".", (parent) => mkdirAt(parent, name, 0o755));
  }
  close(openInRoot(root, path === "" ? "." : path, O_PATH | O_DIRECTORY)); // what is there may be a file
}

/** Makes `path` an empty file, and the directories above it, where it is missing. @throws PosixError */
export function makeFile(root: number, path: string): void {
  if (withPath(root, path, () => true) !== null) return;
  const slash = path.lastIndexOf("/");
  if (slash > 0) makeDirectory(root, path.slice(0, slash));
  close(openInRoot(root, path, O_WRONLY | O_CREAT | O_EXCL, 0o644));
}
