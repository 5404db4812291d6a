/** What every container has mounted, hidden and read-only, as docker and podman have it (moby, oci/defaults.go). */

import { readdirSync, statSync } from "node:fs";
import { S_IFBLK, S_IFCHR, S_IFMT } from "../sys/file.ts";
import type { Device, Mount } from "./runtime-spec.ts";

/** In order. /sys of a privileged container can be written. */
export function defaultMounts(privileged: boolean): readonly Mount[] {
  const quiet = ["nosuid", "noexec", "nodev"];
  const sysfs = privileged ? quiet : [...quiet, "ro"];
  const pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: quiet },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: pts },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: sysfs },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...quiet, "ro"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: quiet },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...quiet, "mode=1777", "size=65536k"] },
  ];
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

/** What has mounts of its own, or is a link. */
const NOT_DEVICES = new Set(["pts", "shm", "mqueue", "hugepages", "fd", "core", "stdin", "stdout", "stderr", "ptmx"]);
const OWN = new Set(["console", "full", "null", "random", "tty", "urandom", "zero"]);

/** Every device of the host that a container does not have anyway: for `--privileged`. */
export function hostDevices(directory = "/dev"): readonly Device[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (directory === "/dev" && (NOT_DEVICES.has(entry.name) || OWN.has(entry.name))) return [];
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return hostDevices(path);
    return entry.isCharacterDevice() || entry.isBlockDevice() ? [deviceAt(path)] : [];
  });
}

function deviceAt(path: string): Device {
  const { mode, rdev, uid, gid } = statSync(path);
  // glibc's major(3) and minor(3), for the 32 bits that numbers of devices have.
  const [major, minor] = [(rdev >>> 8) & 0xfff, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)];
  const type = (mode & S_IFMT) === S_IFBLK ? "b" : "c";
  if (type === "c" && (mode & S_IFMT) !== S_IFCHR) throw new Error(`${path} is no device`);
  return { path, type, major, minor, fileMode: mode & 0o7777, uid, gid };
}
