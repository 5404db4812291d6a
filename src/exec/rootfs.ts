/**
 * The mounts inside a container's root, made from outside by a thread that has joined the container's namespaces while its
 * first process waits. Without --privileged everything is `nodev`, and devices are bound one by one: so a device node that the
 * container makes opens nothing, with or without a device cgroup.
 */

import { basename, dirname, join } from "node:path";
import { PosixError } from "../errors.ts";
import { hostIdOf } from "../mount/id-mapping.ts";
import type { HostPath } from "../paths.ts";
import { hostPath } from "../paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt, S_IFDIR, S_IFMT, symlinkAt } from "../sys/file.ts";
import {
  addMountAttributes,
  MNT_DETACH,
  MS_BIND,
  MS_MOVE,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_REC,
  MS_STRICTATIME,
  mount,
  umount,
} from "../sys/mount.ts";
import { changeDirectory, pivotToWorkingDirectory } from "../sys/namespaces.ts";
import { statAt, statAtOrNull } from "../sys/stat.ts";
import type { Cgroup } from "./cgroup/group.ts";
import { allowsAllDevices } from "./cgroup/resources.ts";
import { PROC_AT } from "./chain.ts";
import { descriptorPath, makeDirectory, makeFile, withPath } from "./in-root.ts";
import { type Device, idMappingsOf, type Mount, type RuntimeSpec } from "./runtime-spec.ts";

/** Options that are flags of mount(2); of the others each is for the file system. */
const FLAGS: Readonly<Record<string, number>> = {
  ro: MS_RDONLY,
  nosuid: MS_NOSUID,
  nodev: MS_NODEV,
  noexec: MS_NOEXEC,
  strictatime: MS_STRICTATIME,
};
/** Options that say nothing new. */
const IGNORED = new Set(["rw", "bind", "rbind", "rprivate", "private", "relatime"]);

const LINKS: readonly (readonly [name: string, target: string])[] = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
  ["ptmx", "pts/ptmx"],
];
/** (uid_t) -1, which the kernel refuses. */
const NO_ID = 0xffff_ffff;
/** What every container has (runtime-spec, config-linux.md, "Default Devices"). */
const DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/**
 * Makes the mounts of `spec` below its root, which is open as `root`. What the chain has at `PROC_AT` goes to /proc. The calling thread is in the container's mount, network, ipc and cgroup namespaces.
 * @throws PosixError
 */
export function mountRootfs(spec: RuntimeSpec, root: number, cgroup: Cgroup | null): void {
  const always = allowsAllDevices(spec.linux.resources) && idMappingsOf(spec) === null ? 0 : MS_NODEV;
  if (always !== 0) addMountAttributes(root, always, false);
  for (const each of spec.mounts) {
    if (each.type === "proc") moveProc(root);
    else if (each.type === "cgroup") mountCgroup(root, each, cgroup);
    else mountAt(root, mapped(each, spec), always);
    if (each.destination === "/dev" && each.type === "tmpfs") fillDev(root, spec);
  }
  for (const path of spec.linux.maskedPaths) mask(root, path);
  for (const path of spec.linux.readonlyPaths) makeReadOnly(root, path);
}

/** To a real directory of the tree: hidden and read-only paths are to be those of the processes. */
function moveProc(root: number): void {
  const stat = statAtOrNull(root, "proc");
  if (stat === null) makeDirectory(root, "proc");
  else if ((stat.mode & S_IFMT) !== S_IFDIR) throw new PosixError(20, "mount", "/proc");
  withPath(root, "proc", (target) => mount(PROC_AT, descriptorPath(target), "", MS_MOVE, ""));
}

/** Owners in a mount's options are the container's, and this thread is none of its processes. */
function mapped(each: Mount, spec: RuntimeSpec): Mount {
  const mappings = idMappingsOf(spec);
  if (mappings === null) return each;
  const options = each.options.map((option) => {
    const [, name = "", id = ""] = /^([ug]id)=(\d+)$/.exec(option) ?? [];
    if (name === "") return option;
    return `${name}=${hostIdOf(name === "uid" ? mappings.uids : mappings.gids, Number(id)) ?? NO_ID}`;
  });
  return { ...each, options };
}

/** `always`: attributes of a bind mount besides those that its options ask for. */
function mountAt(root: number, { destination, type, source, options }: Mount, always = MS_NODEV): void {
  const path = hostPath(destination);
  const isBind = options.includes("bind") || options.includes("rbind");
  const from = isBind ? openAt(AT_FDCWD, hostPath(source), O_PATH) : null;
  try {
    const isFile = from !== null && (statAt(from, null).mode & S_IFMT) !== S_IFDIR;
    if (isFile) makeFile(root, path);
    else makeDirectory(root, path);
    const flags = options.reduce((all, option) => all | (FLAGS[option] ?? 0), 0);
    withPath(root, path, (target) => {
      if (from === null) {
        const data = options.filter((option) => FLAGS[option] === undefined && !IGNORED.has(option)).join(",");
        mount(source, descriptorPath(target), type, flags, data);
      } else {
        mount(descriptorPath(from), descriptorPath(target), "", MS_BIND | MS_REC, "");
      }
    });
    if (from !== null) withPath(root, path, (mounted) => addMountAttributes(mounted, flags | always, true));
  } finally {
    if (from !== null) close(from);
  }
}

/** The container's own group: in version 2 at `destination`, in version 1 a directory a tree. */
function mountCgroup(root: number, { destination, options }: Mount, cgroup: Cgroup | null): void {
  if (cgroup === null) return;
  const bind = ["rbind", ...options];
  if (cgroup.version === 2) {
    for (const source of cgroup.directories) mountAt(root, { destination, type: "bind", source, options: bind });
    return;
  }
  mountAt(root, { destination, type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec", "nodev", "mode=755"] });
  for (const source of cgroup.directories) {
    mountAt(root, { destination: join(destination, basename(dirname(source))), type: "bind", source, options: bind });
  }
  makeReadOnly(root, hostPath(destination));
}

function fillDev(root: number, spec: RuntimeSpec): void {
  withPath(root, "dev", (dev) => {
    for (const [name, target] of LINKS) symlinkAt(target, dev, name);
  });
  const devices = [...DEVICES.map((path) => ({ path })), ...spec.linux.devices];
  for (const { path, source = path } of devices as readonly Pick<Device, "path" | "source">[]) {
    if (statAtOrNull(AT_FDCWD, hostPath(source)) !== null) bindDevice(root, hostPath(source), path);
  }
}

/** Makes the device `source`, of the host or of the container's own devpts, `path` in the container. */
export function bindDevice(root: number, source: HostPath, path: string): void {
  makeFile(root, path);
  withPath(root, path, (target) => mount(source, descriptorPath(target), "", MS_BIND, ""));
}

/** Hides what is at a path, if there is anything. */
function mask(root: number, path: string): void {
  withPath(root, path, (target) => {
    const isDirectory = (statAt(target, null).mode & S_IFMT) === S_IFDIR;
    if (isDirectory) mount("tmpfs", descriptorPath(target), "tmpfs", MS_RDONLY | MS_NODEV, "size=0k");
    else withPath(root, "dev/null", (nothing) => bindOver(nothing, target));
  });
}

/** Of a bind mount on itself: the file system stays as it is elsewhere. */
function makeReadOnly(root: number, path: string): void {
  withPath(root, path, (target) => mount(descriptorPath(target), descriptorPath(target), "", MS_BIND | MS_REC, ""));
  withPath(root, path, (mounted) => addMountAttributes(mounted, MS_RDONLY, true));
}

function bindOver(source: number, target: number): void {
  mount(descriptorPath(source), descriptorPath(target), "", MS_BIND, "");
}

/**
 * Makes the tree that is open as `root` the root of the mount namespace, and of the processes that wait in it. The host's
 * tree goes: read-only first, because the waiting processes still run its programs, and who could write to what
 * /proc/PID/exe names would write to the host (CVE-2019-5736).
 * @throws PosixError
 */
export function enterRootfs(root: number, isReadOnly: boolean): void {
  const old = openAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  try {
    if (isReadOnly) addMountAttributes(root, MS_RDONLY, false);
    changeDirectory(root);
    pivotToWorkingDirectory();
    changeDirectory(old);
    addMountAttributes(old, MS_RDONLY, true);
    umount("." as HostPath, MNT_DETACH);
  } finally {
    close(old);
  }
}
