/**
 * Pausing what runs in a group: the freezer of cgroup v1 (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst), and
 * cgroup.freeze of v2. A frozen process does nothing at all; of signals only SIGKILL reaches it, and in version 1 not even that.
 */

import { isErrno, UnsupportedError } from "../../errors.ts";
import { waitUntil, writeControl } from "./files.ts";
import { type Cgroup, controlPath, readControl } from "./group.ts";

/** True while the group is frozen, or about to be. */
export function isFrozen(group: Cgroup): boolean {
  const text = readControl(group, group.version === 2 ? "cgroup.freeze" : "freezer.self_freezing");
  return text?.trim() === "1";
}

/**
 * Freezes the group: none of its processes runs when this returns.
 * @throws {UnsupportedError} `ERR_CGROUP_CONTROLLER` without a freezer, `ERR_NOT_FROZEN` if a process does not freeze, and then none is
 */
export function freeze(group: Cgroup): void {
  const { version } = group;
  const isDone =
    version === 2
      ? () => /^frozen 1$/m.test(readControl(group, "cgroup.events") ?? "")
      : () => readControl(group, "freezer.state")?.trim() === "FROZEN";
  const path = freezerPath(group);
  if (path === null) {
    const message = `Cannot pause the container: it has no group of the controller "freezer" of cgroup v${version}`;
    throw new UnsupportedError("ERR_CGROUP_CONTROLLER", message, { data: { controller: "freezer", version } });
  }
  writeControl(path, version === 2 ? "1" : "FROZEN");
  if (waitUntil(isDone)) return;
  thaw(group);
  const message =
    "Cannot pause the container: a process in it does not stop, because it waits for a disk or another machine";
  throw new UnsupportedError("ERR_NOT_FROZEN", message, { data: { cgroup: group.name } });
}

/** Lets the group go on; one that has gone, as a runtime's does when it ends, needs nothing. @throws a system error */
export function thaw(group: Cgroup): void {
  const path = freezerPath(group);
  if (path === null) return;
  try {
    writeControl(path, group.version === 2 ? "0" : "THAWED");
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENODEV")) throw error;
  }
}

function freezerPath(group: Cgroup): string | null {
  return controlPath(group, group.version === 2 ? "cgroup.freeze" : "freezer.state");
}
