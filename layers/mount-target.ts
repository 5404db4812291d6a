/** Where a mount may go: to a directory outside the store where nothing is mounted yet. */

import { lstatSync, mkdirSync, readlinkSync, realpathSync, type Stats } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { ConflictError, isErrno, NotFoundError, UsageError } from "../src/errors.ts";
import { findMount } from "../src/mount/mount-info.ts";
import { bytesOf, display, type HostPath, hostPath, hostPathOfBytes, joinHost } from "../src/paths.ts";
import type { StoreLayout } from "./layout.ts";

/** A target that is there now. */
export interface MountTarget {
  /** Absolute, without symbolic links, as the mount table has it. */
  readonly path: HostPath;
  /** It was made just now. */
  readonly made: boolean;
}

/** A path as a person gave it, absolute and without symbolic links; what does not exist stays as it is. */
export function canonicalPath(text: string): HostPath {
  return withoutLinks(absolutePath(text));
}

function withoutLinks(path: HostPath): HostPath {
  try {
    return hostPathOfBytes(realpathSync(bytesOf(path), "buffer"));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EACCES", "ENAMETOOLONG", "ENOTCONN")) return path;
    throw error;
  }
}

/** Not node's `resolve` alone: the working directory's name may not be UTF-8. */
function absolutePath(text: string): HostPath {
  const path = hostPath(text);
  const base = path.startsWith("/") ? "/" : hostPathOfBytes(readlinkSync("/proc/self/cwd", "buffer"));
  return resolve(base, path) as HostPath;
}

/**
 * Makes ready the directory that the user wants to mount at; it is made if its parent exists.
 * @throws {UsageError} `ERR_TARGET_EMPTY`; `ERR_TARGET_IN_STORE` if it is inside the store or hides it
 * @throws {NotFoundError} `ERR_TARGET_PARENT` if its parent does not exist
 * @throws {ConflictError} `ERR_TARGET_TYPE` if it is not a directory, `ERR_TARGET_MOUNTED` if something is mounted there
 */
export function openTarget(layout: StoreLayout, text: string, table: string): MountTarget {
  if (text === "") throw new UsageError("ERR_TARGET_EMPTY", 'Cannot mount at "": it is no name of a directory');
  const wanted = absolutePath(text);
  const parent = withoutLinks(dirname(wanted) as HostPath);
  const existing = withoutLinks(wanted);
  const stat = statOrNull(existing);
  const path = stat === null ? joinHost(parent, basename(wanted)) : existing;
  const shown = display(path);
  const store = withoutLinks(layout.root);
  if (isWithin(path, store) || isWithin(store, path)) {
    const state = path === store || isWithin(path, store) ? "it is inside the store" : "it would hide the store";
    throw new UsageError("ERR_TARGET_IN_STORE", `Cannot mount at "${shown}": ${state}`, { data: { target: shown } });
  }
  if (stat !== null) {
    if (!stat.isDirectory()) {
      throw new ConflictError("ERR_TARGET_TYPE", `Cannot mount at "${shown}": it is not a directory`);
    }
    refuseMounted(path, table);
    return { path, made: false };
  }
  try {
    mkdirSync(bytesOf(path), { mode: 0o755 });
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
    const message = `Cannot mount at "${shown}": there is no directory "${display(parent)}" to make it in`;
    throw new NotFoundError("ERR_TARGET_PARENT", message, { data: { target: shown } });
  }
  return { path, made: true };
}

function statOrNull(path: HostPath): Stats | null {
  try {
    return lstatSync(bytesOf(path));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return null; // ENOTDIR: making it says that there is no directory
    throw error;
  }
}

/** @throws {ConflictError} `ERR_TARGET_MOUNTED` */
export function refuseMounted(path: HostPath, table: string): void {
  const mount = findMount(path, table);
  if (mount === null) return;
  const shown = display(path);
  const message = `Cannot mount at "${shown}": something (${display(mount.type)}) is mounted there; unmount it first`;
  throw new ConflictError("ERR_TARGET_MOUNTED", message, { data: { target: shown, type: display(mount.type) } });
}

function isWithin(path: HostPath, directory: HostPath): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}
