/** The directory in which a container's command starts: looked up in its root, and no link of /proc leads it out. */

import { isErrno, UsageError } from "../errors.ts";
import { display, hostPath } from "../paths.ts";
import { close, O_DIRECTORY, O_PATH, openInRoot } from "../sys/file.ts";
import { makeDirectory } from "./in-root.ts";

/** Makes `cwd` and what is missing above it, in the tree whose root is open. @throws {UsageError} `ERR_WORKDIR` @throws PosixError */
export function makeWorkdir(root: number, cwd: string): void {
  inWords(cwd, (path) => makeDirectory(root, path));
}

/** Makes sure that `cwd` is a directory. @throws {UsageError} `ERR_WORKDIR` @throws PosixError */
export function checkWorkdir(root: number, cwd: string): void {
  inWords(cwd, (path) => close(openInRoot(root, path, O_PATH | O_DIRECTORY)));
}

function inWords(cwd: string, work: (path: string) => void): void {
  const path = hostPath(cwd);
  try {
    work(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "EEXIST", "ELOOP")) throw error; // EEXIST: a link to nothing
    const state = isErrno(error, "ENOENT")
      ? "there is no such directory in the container"
      : "it is no directory, or lies below what is none";
    throw new UsageError("ERR_WORKDIR", `Cannot work in "${display(path)}": ${state}`, {
      data: { path: cwd },
      cause: error,
    });
  }
}
