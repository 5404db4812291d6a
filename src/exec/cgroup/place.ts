/**
 * Where a container's group is, by the name that is recorded for it: "NAME" right below every tree, or, as the OCI runtimes
 * write it (runc, docs/systemd.md), "SLICE:PREFIX:NAME" in a scope of systemd's, which has two groups: ours, and one for
 * what waits for the container's end, since a group with controllers below has no processes of its own.
 */

import { join } from "node:path";

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
  return { scope: { slice, unit }, parent: join(slice, unit), name: "container" };
}

/** The name of a group "layerctl-NAME" for a driver. */
export function groupName(driver: CgroupDriver, name: string): string {
  return driver === "systemd" ? `system.slice:layerctl:${name}` : `layerctl-${name}`;
}
