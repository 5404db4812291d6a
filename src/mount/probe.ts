/**
 * What this host can do, found out by doing it in a scratch directory: kernels are configured, patched and confined in
 * too many ways for a version to tell. Every check that fails says what to do about it.
 */

import { randomBytes } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { isSystemError, LayerctlError } from "../errors.ts";
import { isWhiteout, makeWhiteout } from "../overlay/whiteout.ts";
import { bytesOf, display, type HostPath, joinHost } from "../paths.ts";
import { canRestoreOwners } from "../privilege.ts";
import { reflink } from "../sys/copy.ts";
import { tellsFileTypes } from "../sys/directory.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../sys/file.ts";
import { fsconfigSet, fsopen, umount } from "../sys/mount.ts";
import { statAt } from "../sys/stat.ts";
import { setXattr } from "../sys/xattr.ts";
import { mountOverlay } from "./kernel-overlay.ts";
import { isLegacyContext } from "./legacy-context.ts";
import { findMount } from "./mount-info.ts";
import { kernelOptions, type OverlayOptions } from "./overlay-options.ts";

/** One thing that was tried. */
export interface HostCheck {
  readonly name: string;
  readonly works: boolean;
  /** What was found: a version, or why it does not work. */
  readonly detail: string;
  /** What to do about it; only if it does not work. */
  readonly advice?: string;
}

/** In a fixed order: what everything depends on first. */
export type HostReport = readonly HostCheck[];

/**
 * Tries everything below `directory`, which must exist: the answers hold for its file system. Nothing stays behind,
 * no mount and no file. Takes some milliseconds.
 * @throws Node's system error if nothing can be written there
 */
export function probeHost(directory: HostPath): HostReport {
  const scratch = joinHost(directory, `probe-${process.pid}-${randomBytes(4).toString("hex")}`);
  mkdirSync(bytesOf(scratch), { mode: 0o700 });
  try {
    const path = (name: string): HostPath => joinHost(scratch, name);
    for (const name of ["lower", "target"]) mkdirSync(bytesOf(path(name)));
    writeFileSync(bytesOf(path("file")), "probe");
    return [...kernelChecks(path), ...fileSystemChecks(path), ...overlayChecks(path), ...otherChecks()];
  } finally {
    rmSync(bytesOf(scratch), { recursive: true, force: true });
  }
}

type PathOf = (name: string) => HostPath;

const AS_ROOT = "run as root";
const AS_ABOVE = "as for overlay mount";
const OTHER_FILE_SYSTEM = "put the store on ext4, xfs or btrfs (--root DIR)";

/** Runs one check: `action` gives the detail, or throws why it does not work. */
function check(name: string, advice: string, action: () => string): HostCheck {
  try {
    return { name, works: true, detail: action() };
  } catch (error) {
    return { name, works: false, detail: reasonOf(error), advice };
  }
}

/** A check's own way to say no. */
class Refusal extends Error {}

function reasonOf(error: unknown): string {
  if (error instanceof Refusal || error instanceof LayerctlError) return error.message;
  if (isSystemError(error)) return `${error.syscall ?? "system call"}: ${error.code}`;
  throw error;
}

function kernelChecks(path: PathOf): readonly HostCheck[] {
  const older = "works without it, by mount(2); Linux 6.8 or later has it";
  return [
    check("kernel", "Linux 5.11 or later is needed", () => release()),
    check("/proc", "mount it: mount -t proc proc /proc", () => {
      if (!existsSync("/proc/self/fd")) throw new Refusal("it is not mounted");
      return "mounted";
    }),
    check("overlayfs", `${AS_ROOT}; load the module (modprobe overlay)`, () => inContext(() => "in this kernel")),
    check("lowerdir+ by path", older, () =>
      inContext((context) => {
        if (isLegacyContext(context)) throw new Refusal("this kernel has no lowerdir+");
        fsconfigSet(context, "lowerdir+", path("lower"));
        return "up to 500 layers";
      }),
    ),
    check("lowerdir+ by descriptor", "works without it, by way of /proc; Linux 6.13 or later has it", () =>
      inContext((context) => {
        if (isLegacyContext(context)) throw new Refusal("this kernel has no lowerdir+");
        const fd = openAt(AT_FDCWD, path("lower"), O_PATH | O_DIRECTORY);
        try {
          fsconfigSet(context, "lowerdir+", fd);
        } finally {
          close(fd);
        }
        return "layers with paths of any length";
      }),
    ),
  ];
}

function inContext(action: (context: number) => string): string {
  const context = fsopen("overlay");
  try {
    return action(context);
  } finally {
    close(context);
  }
}

function fileSystemChecks(path: PathOf): readonly HostCheck[] {
  return [
    check("owners of files", `${AS_ROOT}, in no user namespace; works without it, in attributes, and over FUSE`, () => {
      if (!canRestoreOwners()) throw new Refusal("files cannot be given any owner");
      return "can be given";
    }),
    check("owners in attributes", OTHER_FILE_SYSTEM, () => {
      setXattr(path("file"), "user.containers.override_stat", Buffer.from("0:0:0644"));
      return canRestoreOwners() ? "set and kept; not needed here" : "set and kept: layers are unpacked so";
    }),
    check("trusted xattrs", `${AS_ROOT}; ${OTHER_FILE_SYSTEM}`, () => {
      setXattr(path("file"), "trusted.overlay.probe", Buffer.from("y"));
      return "set and kept";
    }),
    check("whiteouts", OTHER_FILE_SYSTEM, () => {
      makeWhiteout(AT_FDCWD, path("whiteout"));
      if (!isWhiteout(statAt(AT_FDCWD, path("whiteout")))) throw new Refusal("a device 0:0 becomes something else");
      return "character device 0:0";
    }),
    check("file types in listings", `${OTHER_FILE_SYSTEM}; xfs needs ftype=1`, () => {
      if (!tellsFileTypes(path(""))) throw new Refusal("the file system does not tell types (d_type)");
      return "d_type";
    }),
    check("reflink", "works without it, copying; xfs and btrfs have it", () => {
      const [from, to] = [openSync(bytesOf(path("file")), "r"), openSync(bytesOf(path("clone")), "w")];
      try {
        if (!reflink(from, to)) throw new Refusal("this file system cannot share extents");
        return "copies share their extents";
      } finally {
        closeSync(from);
        closeSync(to);
      }
    }),
  ];
}

const OPTIONS: readonly (readonly [options: OverlayOptions, advice: string])[] = [
  [{ index: true }, "mount without it: hard links break on copy-up"],
  [{ redirectDir: "on" }, "mount without it: renaming a directory of a layer gives EXDEV"],
  [{ metacopy: true }, "mount without it: chown and chmod copy the whole file"],
  [{ xino: "on" }, "mount without it: inode numbers may change on copy-up if layers are on several file systems"],
  [{ volatile: true }, "mount without it; Linux 5.10 or later has it"],
  [{ userxattr: true }, "mount without it; it is for mounts without root, Linux 5.11 or later has it"],
  [{ nfsExport: true, index: true }, "mount without it; it is for exporting a mount over NFS"],
];

function overlayChecks(path: PathOf): readonly HostCheck[] {
  const mount = check("overlay mount", `${AS_ROOT}; ${OTHER_FILE_SYSTEM}`, () => tryMount(path, "plain", {}));
  const options = OPTIONS.map(([option, advice]) => {
    const name = kernelOptions(option)
      .map(([key, value]) => (value === true ? key : `${key}=${value}`))
      .at(-1);
    if (!mount.works)
      return { name: `option ${name}`, works: false, detail: "no overlay mount works", advice: AS_ABOVE };
    return check(`option ${name}`, advice, () => tryMount(path, `option-${name}`, option));
  });
  return [mount, ...options];
}

/** Mounts with an upperdir and looks whether the options are in force: the kernel drops some without an error. */
function tryMount(path: PathOf, name: string, options: OverlayOptions): string {
  const [upperdir, workdir, target] = [path(`${name}-upper`), path(`${name}-work`), path("target")];
  for (const directory of [upperdir, workdir]) mkdirSync(bytesOf(directory));
  mountOverlay({ lowerdirs: [path("lower")], upperdir, workdir, target, readOnly: false, options });
  try {
    const shown = findMount(target)?.superOptions.map(([key, value]) => (value === "" ? key : `${key}=${value}`)) ?? [];
    if (shown.includes("ro")) throw new Refusal("the kernel takes the upperdir read-only");
    for (const [key, value] of kernelOptions(options)) {
      if (!isInForce(key, value, shown)) throw new Refusal(`the kernel ignores ${key} on this file system`);
    }
    return "mounted";
  } finally {
    umount(target);
  }
}

function isInForce(key: string, value: string | true, shown: readonly string[]): boolean {
  if (key === "xino") return true; // not shown where layers and upperdir share a file system, and not needed there
  if (value !== true) return shown.includes(`${key}=${value}`);
  return shown.includes(key) || shown.some((option) => option.endsWith(`=${key}`)); // "fsync=volatile" since 6.18
}

function otherChecks(): readonly HostCheck[] {
  return [
    check("/dev/fuse", "load the module (modprobe fuse), or let the container have the device", () => {
      closeSync(openSync("/dev/fuse", "r+"));
      return "can be opened";
    }),
    check("user namespaces", "allow them with sysctl, as the detail says", () => {
      for (const [file, isOff] of USER_NAMESPACE_SETTINGS) {
        const value = readSetting(file);
        if (value !== null && isOff(value)) throw new Refusal(`${file.replaceAll("/", ".")} is ${display(value)}`);
      }
      return "allowed";
    }),
  ];
}

const USER_NAMESPACE_SETTINGS: readonly (readonly [file: string, isOff: (value: string) => boolean])[] = [
  ["user/max_user_namespaces", (value) => value === "0"],
  ["kernel/unprivileged_userns_clone", (value) => value === "0"],
  ["kernel/apparmor_restrict_unprivileged_userns", (value) => value === "1"],
];

function readSetting(name: string): string | null {
  try {
    return readFileSync(`/proc/sys/${name}`, "latin1").trim();
  } catch {
    return null; // a kernel without this setting does not restrict by it
  }
}
