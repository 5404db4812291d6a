/**
 * Out of the control groups of whoever started this process: a session, a service or a job that is ended with all that is in
 * its group is not to take along what it has left running (systemd.kill(5), logind.conf(5) `KillUserProcesses=`).
 */

import { join } from "node:path";
import { isSystemError, UnsupportedError } from "../../errors.ts";
import { mountsOfType } from "../../mount/mount-info.ts";
import { bytesOf } from "../../paths.ts";
import { canRestoreOwners } from "../../privilege.ts";
import { writeControl } from "./files.ts";
import { USER_SLICE } from "./place.ts";
import { chooseDriver, startScope } from "./systemd.ts";

/**
 * This process is at the top of every tree, systemd's own included; without privileges, where the user's systemd runs, in a
 * scope of its own. It stays where the host allows neither.
 */
export async function leaveCallersGroups(): Promise<void> {
  if (canRestoreOwners()) {
    for (const { target } of mountsOfType(["cgroup", "cgroup2"])) tryToEnter(bytesOf(target).toString());
    return;
  }
  if (chooseDriver("auto") !== "systemd") return;
  try {
    await startScope({ slice: USER_SLICE, unit: `layerctl-monitor-${process.pid}-${Date.now()}.scope` }, [process.pid]);
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
  }
}

function tryToEnter(tree: string): void {
  try {
    writeControl(join(tree, "cgroup.procs"), String(process.pid));
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}
