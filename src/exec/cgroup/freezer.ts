/**
 * Pausing what runs in a group: the freezer of cgroup v1 (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst), and
 * cgroup.freeze of v2. A frozen process does nothing at all; of signals only SIGKILL reaches it, and in version 1 not even that.
 */

import { UnsupportedError } from "../../errors.ts";
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
  const isDone =
    group.version === 2
      ? () => /^frozen 1$/m.test(readControl(group, "cgroup.events") ?? "")
      : () => readControl(group, "freezer.state")?.trim() === "FROZEN";
  setFrozen(group, true);
  if (waitUntil(isDone)) return;
  thaw(group);
  const message =
    "Cannot pause the container: a process in it does not stop, because it waits for a disk or another machine";
  throw new UnsupportedError("ERR_NOT_FROZEN", message, { data: { cgroup: group.name } });
}

/** Lets the group go on. @throws {UnsupportedError} `ERR_CGROUP_CONTROLLER` without a freezer */
export function thaw(group: Cgroup): void {
  setFrozen(group, false);
}

function setFrozen(group: Cgroup, isToFreeze: boolean): void {
  const { version } = group;
  const path = controlPath(group, version === 2 ? "cgroup.freeze" : "freezer.state");
  if (path === null) {
    const message = `Cannot pause the container: it has no group of the controller "freezer" of cgroup v${version}`;
    throw new UnsupportedError("ERR_CGROUP_CONTROLLER", message, { data: { controller: "freezer", version } });
  }
  const value = version === 2 ? String(Number(isToFreeze)) : isToFreeze ? "FROZEN" : "THAWED";
  writeControl(path, value);
}
