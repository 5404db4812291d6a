/** A container that runs, as other processes find it: its root and its namespaces, by its first process (/proc/PID). */

import { closeSync, existsSync, openSync, readlinkSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { type IdMappings, mappingsOfProcess } from "../mount/id-mapping.ts";
import { hostPath } from "../paths.ts";
import { AT_FDCWD, O_DIRECTORY, O_PATH, openAt } from "../sys/file.ts";

/** By their names in /proc/PID/ns, in the order in which they can be joined. */
const NAMESPACES = ["user", "time", "net", "ipc", "uts", "cgroup", "pid", "mnt"] as const;
export type NamespaceName = (typeof NAMESPACES)[number];

export interface RunningRoot extends Disposable {
  readonly pid: number;
  /** Of its root directory (`O_PATH`). */
  readonly root: number;
  /** Those that are not this process's own too. */
  readonly namespaces: readonly { readonly name: NamespaceName; readonly fd: number }[];
}

/**
 * The container whose first process is `pid`, which stays that process as long as its container is held by who runs it.
 * null if there is no such process any more. @throws a system error
 */
export function openRunning(pid: number): RunningRoot | null {
  const opened: number[] = [];
  const dispose = (): void => {
    for (const fd of opened.splice(0)) closeSync(fd);
  };
  try {
    const root = openAt(AT_FDCWD, hostPath(`/proc/${pid}/root`), O_PATH | O_DIRECTORY);
    opened.push(root);
    const namespaces = NAMESPACES.filter((name) => isOther(pid, name)).map((name) => {
      const fd = openSync(`/proc/${pid}/ns/${name}`, "r");
      opened.push(fd);
      return { name, fd };
    });
    return { pid, root, namespaces, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    if (isErrno(error, "ENOENT", "ESRCH")) return null;
    throw error;
  }
}

function isOther(pid: number, name: NamespaceName): boolean {
  if (!existsSync(`/proc/self/ns/${name}`)) return false; // no time namespaces before Linux 5.6
  return readlinkSync(`/proc/${pid}/ns/${name}`) !== readlinkSync(`/proc/self/ns/${name}`);
}

/** How the container's user namespace maps ids; null if it has this host's. */
export function idsOf({ pid, namespaces }: RunningRoot): IdMappings | null {
  return namespaces.some(({ name }) => name === "user") ? mappingsOfProcess(pid) : null;
}
