/**
 * Where a container's group is, by the name that is recorded for it: "NAME" right below every tree, or, as the OCI runtimes
 * write it (runc, docs/systemd.md), "SLICE:PREFIX:NAME" in a scope of systemd's, which has two groups: ours, and one for
 * what waits for the container's end, since a group with controllers below has no processes of its own.
 */

import { join } from "node:path";
import { hostIdOf, ownMappings } from "../../mount/id-mapping.ts";
import { canRestoreOwners } from "../../privilege.ts";

export type CgroupDriver = "cgroupfs" | "systemd";

export interface Scope {
  readonly slice: string;
  /** "PREFIX-NAME.scope". */
  readonly unit: string;
}

export interface Place {
  /** Null for cgroupfs. */
  readonly scope: Scope | null;
  /** Where the group is made, below the trees: "", or the scope. */
  readonly parent: string;
  /** Of the group, in there. */
  readonly name: string;
}

/** Beside the group in a scope. */
export const WAITER_GROUP = "waiter";

export function placeOf(name: string): Place {
  const [slice = "", prefix, rest] = name.split(":");
  if (prefix === undefined || rest === undefined) return { scope: null, parent: "", name };
  const unit = `${prefix}-${rest}.scope`;
  return { scope: { slice, unit }, parent: join(managerGroup(slice), slice, unit), name: "container" };
}

const SYSTEM_SLICE = "system.slice";
/** Of a user's own systemd (user@.service). */
export const USER_SLICE = "user.slice";

function managerGroup(slice: string): string {
  if (slice !== USER_SLICE) return "";
  const uids = ownMappings()?.uids;
  const uid = uids === undefined ? process.geteuid?.() : hostIdOf(uids, 0);
  return `user.slice/user-${uid}.slice/user@${uid}.service`;
}

/** True for a scope of the user's own systemd. */
export function isOfUser({ slice }: Scope): boolean {
  return slice === USER_SLICE;
}

/** The name of a group "layerctl-NAME" for a driver. */
export function groupName(driver: CgroupDriver, name: string): string {
  const slice = canRestoreOwners() ? SYSTEM_SLICE : USER_SLICE;
  return driver === "systemd" ? `${slice}:layerctl:${name}` : `layerctl-${name}`;
}
