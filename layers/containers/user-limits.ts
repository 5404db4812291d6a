/** What containers of an ordinary user cannot have on this host: told once a store, and not at every start. */

import { accessSync, constants, existsSync, writeFileSync } from "node:fs";
import { findHierarchies } from "../../src/exec/cgroup/hierarchies.ts";
import { chooseDriver } from "../../src/exec/cgroup/systemd.ts";
import { ownMappings } from "../../src/mount/id-mapping.ts";
import { bytesOf } from "../../src/paths.ts";
import type { Store } from "../store.ts";

/** What is missing, if it has not been told yet. It counts as told then. */
export function untoldLimits(store: Store): readonly string[] {
  const ids = ownMappings();
  if (ids === null || existsSync(bytesOf(store.layout.toldMark))) return [];
  writeFileSync(bytesOf(store.layout.toldMark), "", { mode: 0o600 });
  const size = ids.uids.reduce((sum, range) => sum + range.size, 0);
  return [
    ...(size > 1 ? [] : ["users but root (it takes a range in /etc/subuid and /etc/subgid, and the package uidmap)"]),
    ...(mayMakeGroups() ? [] : ["limits, pause and statistics (it takes a cgroup that was delegated to this user)"]),
  ];
}

function mayMakeGroups(): boolean {
  if (chooseDriver("auto") === "systemd") return true;
  const { all } = findHierarchies();
  return all.length > 0 && all.every((directory) => mayWrite(directory));
}

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
