/** Where this host's cgroup trees are, and which controllers they have (cgroups(7)). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../../errors.ts";
import { mountsOfType } from "../../mount/mount-info.ts";
import { bytesOf } from "../../paths.ts";
import { writeControl } from "./files.ts";

export interface Hierarchies {
  readonly version: 1 | 2;
  /** The directory in which groups of a controller are made; null if there is none. */
  directoryOf(controller: string): string | null;
  /** Every such directory. */
  readonly all: readonly string[];
}

/** What containers use. On hybrid hosts the first version's trees have them, and the second's only what is left over. */
const CONTROLLERS = ["memory", "cpu", "cpuacct", "cpuset", "pids", "blkio", "freezer", "devices"];

/** What version 2 does in every group, without a controller of this name. */
const CORE = ["cpuacct", "freezer", "devices"];

/** The trees as they are mounted here, from the group `parent` of version 2 on, which may have controllers of its own. */
export function findHierarchies(parent = ""): Hierarchies {
  const trees = mountsOfType(["cgroup", "cgroup2"]).map(({ type, target, superOptions }) => ({
    type,
    path: bytesOf(target).toString(),
    controllers: superOptions.map(([name]) => name).filter((name) => CONTROLLERS.includes(name)),
  }));
  const first = trees.filter(({ type, controllers }) => type === "cgroup" && controllers.length > 0);
  const unified = trees.find(({ type }) => type === "cgroup2");
  if (first.length > 0 || unified === undefined) {
    return {
      version: 1,
      all: first.map(({ path }) => path),
      directoryOf: (name) => first.find(({ controllers }) => controllers.includes(name))?.path ?? null,
    };
  }
  const root = join(unified.path, parent);
  const controllers = wordsIn(join(root, "cgroup.controllers"));
  return {
    version: 2,
    all: [root],
    directoryOf: (name) => (CORE.includes(name) || (controllers.includes(name) && hand(root, name)) ? root : null),
  };
}

/** Lets the groups below have a controller. False if that is refused. */
function hand(root: string, controller: string): boolean {
  const file = join(root, "cgroup.subtree_control");
  if (wordsIn(file).includes(controller)) return true;
  try {
    writeControl(file, `+${controller}`);
    return true;
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM", "EROFS", "EBUSY", "ENOENT", "EINVAL", "EOPNOTSUPP")) return false;
    throw error;
  }
}

function wordsIn(file: string): readonly string[] {
  try {
    return readFileSync(file, "latin1").trim().split(/\s+/).filter(Boolean);
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return [];
    throw error;
  }
}
