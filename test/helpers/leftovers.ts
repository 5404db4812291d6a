/**
 * Finds what tests may leave on a machine: mounts, loop devices, cgroups and temporary directories of theirs. All of it
 * has "layerctl-" in its path, which is what tells it from everything else.
 */

import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

/** Where the property tests lay out layers. */
const MEMORY = "/dev/shm";
/** Names of the temporary directories that tests, fixtures and benchmarks make; kept fixtures are not among them. */
const TEMPORARY = /^layerctl-(test|bench)-/;

/**
 * One line for each thing left behind that has come since a time, in milliseconds since the epoch; empty if there is
 * nothing. What is older is of a run that was killed, and no fault of this one.
 */
export function leftovers(sinceMs: number): readonly string[] {
  const directories = [realpathSync(tmpdir()), MEMORY]
    .flatMap((parent) => namesIn(parent).map((name) => join(parent, name)))
    .filter((path) => TEMPORARY.test(basename(path)) && isSince(path, sinceMs));
  const isOurs = (path: string): boolean => directories.some((each) => path === each || path.startsWith(`${each}/`));
  return [
    ...mountTargets()
      .filter(isOurs)
      .map((target) => `mount ${target}`),
    ...loopFiles()
      .filter(isOurs)
      .map((file) => `loop device on ${file}`),
    ...cgroups()
      .filter((path) => isSince(path, sinceMs))
      .map((path) => `cgroup ${path}`),
    ...directories.map((path) => `directory ${path}`),
  ].sort();
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // there is none
  }
}

function isSince(path: string, sinceMs: number): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.ctimeMs >= sinceMs;
}

/** What is mounted at or below a directory, in the order of mounting. */
export function mountsBelow(directory: string): readonly string[] {
  const root = realpathSync(directory);
  return mountTargets().filter((target) => target === root || target.startsWith(`${root}/`));
}

function mountTargets(): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "latin1")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .map((target) =>
      target.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    );
}

function loopFiles(): readonly string[] {
  const devices = readdirSync("/sys/block").filter((name) => name.startsWith("loop"));
  return devices.flatMap((name) => {
    try {
      return [readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trim()];
    } catch {
      return []; // not in use
    }
  });
}

/** Cgroups of tests, at most two levels down: v1 has one tree a controller. */
function cgroups(): readonly string[] {
  const found: string[] = [];
  const look = (directory: string, depth: number): void => {
    for (const name of directoriesIn(directory)) {
      const path = join(directory, name);
      if (TEMPORARY.test(name)) found.push(path);
      else if (depth > 0) look(path, depth - 1);
    }
  };
  look("/sys/fs/cgroup", 2);
  return found;
}

function directoriesIn(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return []; // a cgroup that went away meanwhile
  }
}
