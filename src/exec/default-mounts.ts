/** What every container has mounted, hidden and read-only, as docker and podman have it (moby, oci/defaults.go). */

import { existsSync } from "node:fs";
import { hostIdOf, type IdMappings } from "../mount/id-mapping.ts";
import type { Mount, Namespace, NamespaceType } from "./runtime-spec.ts";

/** What of a container's namespaces its mounts depend on. */
export interface MountNeeds {
  /** /sys of such a container can be written. */
  readonly privileged: boolean;
  readonly namespaces: readonly Namespace[];
  /** Those that it has where it is in a user namespace, its own or its user's; null in the first, which has all. */
  readonly ids: IdMappings | null;
  /** Namespaces that it joins belong to the same user namespace. */
  readonly isAmongItsOwn: boolean;
}

const QUIET = ["nosuid", "noexec", "nodev"];

/** In order. */
export function defaultMounts({ privileged, namespaces, ids, isAmongItsOwn }: MountNeeds): readonly Mount[] {
  const find = (type: NamespaceType): Namespace | undefined => namespaces.find((each) => each.type === type);
  /** What shows namespaces of this type is mounted only by those that may do anything in the user namespace they belong to. */
  const canMount = (type: NamespaceType): boolean =>
    ids === null || (find(type) !== undefined && (find(type)?.path === undefined || isAmongItsOwn));
  const sysfs = privileged ? QUIET : [...QUIET, "ro"];
  const tty = ids === null || hostIdOf(ids.gids, TTY_GROUP) !== null ? [`gid=${TTY_GROUP}`] : [];
  const pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...tty];
  const ipc: readonly Mount[] = [
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: QUIET },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...QUIET, ...SHM] },
  ];
  return [
    canMount("pid")
      ? { destination: "/proc", type: "proc", source: "proc", options: QUIET }
      : hostMount("/proc", QUIET),
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: pts },
    canMount("network")
      ? { destination: "/sys", type: "sysfs", source: "sysfs", options: sysfs }
      : hostMount("/sys", sysfs),
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...QUIET, "ro"] },
    ...(find("ipc") === undefined
      ? ipc
          .map(({ destination }) => destination)
          .filter((path) => existsSync(path))
          .map((path) => hostMount(path, QUIET))
      : ipc),
  ];
}

/** Of the tmpfs at /dev/shm. */
export const SHM: readonly string[] = ["mode=1777", "size=65536k"];
/** "tty", in every distribution. */
export const TTY_GROUP = 5;

/** What this host has at the same place. */
function hostMount(path: string, options: readonly string[]): Mount {
  return { destination: path, type: "bind", source: path, options: ["rbind", "rprivate", ...options] };
}

export const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

export const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];
