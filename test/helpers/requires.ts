/** Says what a test needs and why it is skipped without it. Under `LAYERCTL_TEST_STRICT=1` a skip is a failure. */

import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { hasVirtualMachine } from "./virtual-machine.ts";

/**
 * "root", "overlay", "fuse", "fuse-native" (the package, and libfuse 2), "user-namespace" (a container or chroot may refuse
 * to make one), "virtual-machine" (scripts/setup-vm makes its parts), or "program:NAME".
 */
export type Need =
  | "root"
  | "overlay"
  | "fuse"
  | "fuse-native"
  | "user-namespace"
  | "virtual-machine"
  | `program:${string}`;

/** For `test(name, { skip: requires("root") }, …)`: false if all needs are met, else the reason. */
export function requires(...needs: readonly Need[]): string | false {
  const missing = needs.filter((need) => !isMet(need));
  if (missing.length === 0) return false;
  const reason = `needs ${missing.join(", ")}`;
  if (process.env.LAYERCTL_TEST_STRICT === "1") throw new Error(`LAYERCTL_TEST_STRICT: a test ${reason}`);
  return reason;
}

function isMet(need: Need): boolean {
  switch (need) {
    case "root":
    case "overlay": // kernel overlayfs is in every kernel we support; mounting it takes root
      return process.getuid?.() === 0;
    case "fuse":
      return isAccessible("/dev/fuse");
    case "fuse-native":
      return loads("fuse-native");
    case "user-namespace":
      return spawnSync("unshare", ["-Ur", "true"]).status === 0;
    case "virtual-machine":
      return hasVirtualMachine();
    default:
      return findProgram(need.slice("program:".length));
  }
}

function loads(packageName: string): boolean {
  try {
    createRequire(import.meta.url)(packageName);
    return true;
  } catch {
    return false;
  }
}

function findProgram(name: string): boolean {
  const directories = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return directories.some((directory) => isAccessible(join(directory, name), constants.X_OK));
}

function isAccessible(path: string, mode: number = constants.R_OK | constants.W_OK): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
