/** Which store a command works on. */

import { accessSync, constants, existsSync, readlinkSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno, UsageError } from "../src/errors.ts";
import { bytesOf, display, type HostPath, hostPath, joinHost } from "../src/paths.ts";
import { environmentText } from "./arguments.ts";

const SYSTEM_ROOT = "/var/lib/layerctl";

/**
 * The store's directory, absolute: `--root`, else LAYERCTL_ROOT, else /var/lib/layerctl for root, else layerctl in the
 * user's data directory (XDG base directory specification), as for the root of a user namespace whose system is another's.
 * @throws {UsageError} `ERR_ROOT_UNKNOWN` for a user without a home directory; `ERR_ROOT_EMPTY`; `ERR_ROOT_NAME` if it
 * is not UTF-8
 */
export function storeRoot(option: string | undefined, isRoot: boolean = ownsSystem()): HostPath {
  if (option === "") throw new UsageError("ERR_ROOT_EMPTY", 'Cannot use "" as the root: it is empty');
  const chosen = option ?? environmentText("LAYERCTL_ROOT") ?? (isRoot ? SYSTEM_ROOT : userRoot());
  const root = absolute(hostPath(chosen));
  if (hostPath(bytesOf(root).toString("utf8")) === root) return root;
  const state = "its name is not UTF-8, and SQLite takes no other";
  throw new UsageError("ERR_ROOT_NAME", `Cannot use "${display(root)}" as the root: ${state}`);
}

/** Root, also of a container; but not of a namespace that a user made for himself (`unshare -Ur`). */
function ownsSystem(): boolean {
  if (process.geteuid?.() !== 0) return false;
  const existing = existsSync(SYSTEM_ROOT) ? SYSTEM_ROOT : dirname(SYSTEM_ROOT);
  try {
    accessSync(existing, constants.W_OK);
    return true;
  } catch (error) {
    return !isErrno(error, "EACCES"); // EROFS and the like are for who makes the store to tell
  }
}

function userRoot(): string {
  const data = environmentText("XDG_DATA_HOME");
  if (data?.startsWith("/")) return `${data}/layerctl`; // the specification: a relative one is to be ignored
  const home = environmentText("HOME");
  if (home?.startsWith("/")) return `${home}/.local/share/layerctl`;
  throw new UsageError("ERR_ROOT_UNKNOWN", "Cannot choose a store: HOME is not set. Name a directory with --root");
}

/** `path` from the working directory, without "." and doubled slashes; ".." stays, a symlink may be before it. */
export function absolute(path: HostPath): HostPath {
  const full = path.startsWith("/") ? path : `${readlinkSync("/proc/self/cwd", "latin1")}/${path}`; // cwd() is lossy
  const parts = full.split("/").filter((part) => part !== "" && part !== ".");
  return joinHost(hostPath("/"), ...parts);
}
