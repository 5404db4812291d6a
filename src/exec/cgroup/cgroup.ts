/**
 * The control group of a container, on whatever this host has: version 1 where trees of it are mounted, on hybrid hosts
 * too, else version 2; there in a scope of systemd's if that is wanted. A limit that cannot be set is an error that names the
 * controller; without limits a container does without what the host refuses.
 */

import { closeSync, constants, existsSync, openSync, writeFile } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { isSystemError, UnsupportedError } from "../../errors.ts";
import { attachDeviceProgram } from "../../sys/bpf.ts";
import { sendSignal } from "../signal.ts";
import {
  emptyScope,
  groupsBelow,
  killAllIn,
  makeDirectory,
  readFileOrNull,
  removeDirectory,
  writeControl,
} from "./files.ts";
import { isFrozen, thaw } from "./freezer.ts";
import { type Cgroup, readControl } from "./group.ts";
import { findHierarchies, type Hierarchies } from "./hierarchies.ts";
import { isOfUser, type Place, placeOf, type Scope, WAITER_GROUP } from "./place.ts";
import type { Resources } from "./resources.ts";
import type { Step } from "./step.ts";
import { startHolder, startScope } from "./systemd.ts";
import { version1Steps } from "./version1.ts";
import { version2Steps } from "./version2.ts";

/** What every container's group is for, without limits too: pausing it, and its statistics. */
const ALWAYS: Readonly<Record<1 | 2, readonly string[]>> = {
  1: ["freezer", "memory", "cpu", "cpuacct", "pids", "blkio"],
  2: ["freezer", "memory", "cpu", "pids", "io"],
};

/**
 * Makes the group that is recorded as `name` with these limits, for the children of the process `pid`, which are not in it yet;
 * null if this host has no cgroups that we may use, and no limits are asked for.
 * @throws {UnsupportedError} `ERR_CGROUP_CONTROLLER`: then there is no such group; `ERR_SYSTEMD`
 */
export async function makeCgroup(name: string, resources: Resources, pid: number): Promise<Cgroup | null> {
  const place = placeOf(name);
  if (place.scope !== null && !(await tryToEnter(place, place.scope, pid, resources))) return null;
  const hierarchies = findHierarchies(place.parent);
  const { version } = hierarchies;
  const steps = version === 2 ? version2Steps(resources) : version1Steps(resources, hierarchies);
  const controllers = new Set([...ALWAYS[version], ...steps.map((step) => step.controller)]);
  const made: string[] = [];
  try {
    for (const controller of controllers) {
      const isRequired = steps.some((step) => step.controller === controller && step.isRequired);
      const parent = hierarchies.directoryOf(controller);
      if (parent === null) {
        if (isRequired) throw missing(controller, hierarchies, "this host does not have it");
        continue;
      }
      const directory = join(parent, place.name);
      if (!made.includes(directory) && !tryTo(() => makeDirectory(directory), isRequired, controller, hierarchies))
        continue;
      if (!made.includes(directory)) made.push(directory);
      for (const step of steps.filter((each) => each.controller === controller)) {
        tryTo(() => carryOut(step, directory), step.isRequired, controller, hierarchies);
      }
    }
  } catch (error) {
    if (made.length > 0 || place.scope !== null) removeCgroup({ name, directories: made, version });
    throw error;
  }
  return made.length === 0 ? null : { name, directories: made, version };
}

/** False if a user's own systemd refuses, and no limits are asked for. */
async function tryToEnter(place: Place, scope: Scope, pid: number, resources: Resources): Promise<boolean> {
  try {
    await enterScope(place, scope, pid);
    return true;
  } catch (error) {
    const isRequired = version2Steps(resources).some((step) => step.isRequired);
    if (isRequired || !isOfUser(scope) || !(error instanceof UnsupportedError)) throw error;
    return false;
  }
}

async function enterScope({ parent }: Place, scope: Scope, pid: number): Promise<void> {
  const holder = startHolder();
  try {
    await startScope(scope, [pid, holder]);
    for (const root of findHierarchies().all) {
      const directory = join(root, parent, WAITER_GROUP);
      makeDirectory(directory);
      for (const each of [pid, holder]) writeControl(join(directory, "cgroup.procs"), String(each));
    }
  } catch (error) {
    sendSignal(holder, "SIGKILL");
    throw error;
  }
}

/** The group that was made under this name, as much as is left of it; null if nothing is. */
export function findCgroup(name: string): Cgroup | null {
  const { parent, name: own, scope } = placeOf(name);
  const { version, all } = findHierarchies();
  const find = (path: string): readonly string[] =>
    [...new Set(all.map((root) => join(root, path)))].filter((directory) => existsSync(directory));
  const groups = find(join(parent, own));
  // A scope may be all there is: a runtime puts its processes into the scope itself.
  const directories = groups.length > 0 || scope === null ? groups : find(parent);
  return directories.length === 0 ? null : { name, directories, version };
}

/**
 * Puts a process into the group, from a thread of the pool: the first of these writes waits until every processor has once
 * been elsewhere (RCU), which is some ten milliseconds.
 * @throws a system error
 */
export async function addToCgroup({ directories }: Cgroup, pid: number): Promise<void> {
  const write = promisify(writeFile);
  for (const directory of directories) await write(join(directory, "cgroup.procs"), String(pid), { flag: "r+" });
}

/** The processes of the group and of those below, as this process's pid namespace numbers them. */
export function processesIn({ directories: [directory] }: Cgroup): readonly number[] {
  if (directory === undefined) return [];
  const pids = [directory, ...groupsBelow(directory)].flatMap(
    (path) => readFileOrNull(join(path, "cgroup.procs"))?.split("\n").filter(Boolean).map(Number) ?? [],
  );
  return pids.filter((pid) => pid > 0);
}

/** Removes the group, and kills what is in it. False if something cannot be killed. */
export function removeCgroup(group: Cgroup): boolean {
  if (isFrozen(group)) {
    for (const directory of group.directories) killAllIn(directory); // so that nothing of it goes on
    thaw(group);
  }
  const { scope, parent } = placeOf(group.name);
  if (scope !== null) return findHierarchies().all.every((root) => emptyScope(join(root, parent)));
  return group.directories.map((directory) => removeDirectory(directory)).every(Boolean);
}

/** How many processes of the group were killed because its memory was used up. */
export function outOfMemoryKills(group: Cgroup): number {
  const text = readControl(group, group.version === 2 ? "memory.events" : "memory.oom_control");
  return Number(/^oom_kill (\d+)$/m.exec(text ?? "")?.[1] ?? 0);
}

function carryOut(step: Step, directory: string): void {
  if ("program" in step) {
    attachProgram(directory, step.program);
    return;
  }
  const { file, value, otherwise } = step;
  const isThere = otherwise === undefined || existsSync(join(directory, file));
  if (isThere) writeControl(join(directory, file), value);
  else writeControl(join(directory, otherwise.file), otherwise.value);
}

function attachProgram(directory: string, program: Buffer): void {
  const group = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    attachDeviceProgram(group, program);
  } finally {
    closeSync(group);
  }
}

/** False if the host refuses what is not required. */
function tryTo(work: () => void, isRequired: boolean, controller: string, hierarchies: Hierarchies): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (isRequired) throw missing(controller, hierarchies, saidOf(error), error);
    return false;
  }
}

function saidOf(error: NodeJS.ErrnoException): string {
  const file = error.path === undefined ? "" : ` for "${basename(error.path)}"`;
  return `the kernel says ${error.code}${file}`;
}

function missing(controller: string, { version }: Hierarchies, state: string, cause?: unknown): UnsupportedError {
  const message = `Cannot limit the container: controller "${controller}" of cgroup v${version}: ${state}`;
  return new UnsupportedError("ERR_CGROUP_CONTROLLER", message, { data: { controller, version }, cause });
}
