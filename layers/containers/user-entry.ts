/**
 * How an ordinary user comes to be root of a user namespace, in which containers are mounted and run (user_namespaces(7)). All
 * containers of a store share one, with one table of mounts, as long as any of them runs: by it each command finds the others.
 */

import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { UnsupportedError } from "../../src/errors.ts";
import { program, SHELL } from "../../src/exec/host-program.ts";
import { getContainer, listContainers } from "../../src/meta/containers.ts";
import { type SubIdFile, subIdsOf } from "../../src/mount/id-mapping.ts";
import { isInUserNamespace } from "../../src/privilege.ts";
import type { Store } from "../store.ts";
import { isHeld } from "./held.ts";

/** After it the command that is to be run in the namespace. */
export type Entry = readonly [file: string, ...args: string[]];

/** Where the working directory would be that of another mount namespace. */
const COME_BACK = 'cd -- "$0" && exec "$@"';

/**
 * What takes this user where the containers of the store are; null for who is there, or need not be. `isNeeded`: where there
 * is none yet, one is made.
 * @throws {UnsupportedError} `ERR_NO_LAUNCHER`, `ERR_NEEDS_ROOT`
 */
export function userEntry(store: Store, isNeeded: boolean): Entry | null {
  if (process.geteuid?.() === 0 || isInUserNamespace()) return null;
  const runner = runnerOf(store);
  const back = ["--", SHELL, "-c", COME_BACK, process.cwd()];
  // The namespace's root is this user, so that nothing is to be set; and where groups cannot be set nothing may try to.
  if (runner !== null) {
    return [program("nsenter"), "--user", "--mount", "--preserve-credentials", "--target", String(runner), ...back];
  }
  if (!isNeeded) return null;
  refuseWithout();
  return [program("unshare"), "--map-root-user", ...allIds(), "--mount", "--propagation", "slave", ...back];
}

/** Settings of which one that is "0" lets this user make no user namespace: the kernel's, and Debian's. */
const SWITCHES = ["/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone"];

function refuseWithout(): void {
  const off = SWITCHES.find((path) => existsSync(path) && readFileSync(path, "latin1").trim() === "0");
  if (off === undefined) return;
  const message = `Cannot start a container without root: ${off} lets nobody make a user namespace; run it as root`;
  throw new UnsupportedError("ERR_NEEDS_ROOT", message, { data: { setting: off } });
}

/** The ids of /etc/subuid and /etc/subgid behind the user's own, if he has some and may use them. */
function allIds(): readonly string[] {
  const hasSome = (["/etc/subuid", "/etc/subgid"] as const).every(hasIds);
  const canMap = ["newuidmap", "newgidmap"].every((name) => existsSync(`/usr/bin/${name}`));
  return hasSome && canMap ? ["--map-auto"] : [];
}

function hasIds(file: SubIdFile): boolean {
  try {
    const { username, uid } = userInfo();
    return subIdsOf(file, username, uid).length > 0;
  } catch {
    return false; // a user without a name has none
  }
}

/** A process that runs a container of the store: the parent of unshare(1), or of a runtime, whose child the container is. */
function runnerOf(store: Store): number | null {
  for (const { snapshot } of listContainers(store.db)) {
    const init = getContainer(store.db, snapshot)?.init ?? null;
    if (init === null || !isHeld(store, snapshot)) continue;
    const runner = parentOf(parentOf(init));
    if (runner !== null && runner > 1) return runner;
  }
  return null;
}

function parentOf(pid: number | null): number | null {
  if (pid === null) return null;
  try {
    return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0);
  } catch {
    return null; // it has ended
  }
}
