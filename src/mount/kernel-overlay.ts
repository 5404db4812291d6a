/**
 * Mounts with kernel overlayfs through the mount API of Linux 5.2 (fsopen, fsconfig, fsmount, move_mount), one `lowerdir+`
 * a layer (Linux 6.8), so that layers may have any path; with mount(2) where the kernel is older. A mount that was made
 * here lives until it is unmounted, whatever happens to the process.
 *
 * Invariant: nothing is attached at the target unless everything before succeeded.
 */

import { readSync } from "node:fs";
import { basename, dirname } from "node:path";
import { ConflictError, isErrno, PosixError, type SystemError, UnsupportedError } from "../errors.ts";
import { hasVolatileMark } from "../overlay/volatile-mark.ts";
import { display, type HostPath } from "../paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../sys/file.ts";
import { asFileOwner } from "../sys/file-owner.ts";
import { KernelLog } from "../sys/kernel-log.ts";
import {
  contextMessages,
  fsconfigCreate,
  fsconfigSet,
  fsmount,
  fsopen,
  MOUNT_ATTR_RDONLY,
  moveMount,
  openIdMapped,
} from "../sys/mount.ts";
import { mountWithOptionString } from "./classic-mount.ts";
import { rootOf } from "./id-mapping.ts";
import { isLegacyContext } from "./legacy-context.ts";
import type { IdMap, MountSpec } from "./mount-spec.ts";
import { checkOverlayOptions, kernelOptions } from "./overlay-options.ts";

/** The most layers overlayfs takes (OVL_MAX_STACK). */
export const MAX_LAYERS = 500;
/** The source that our mounts show in the mount table. */
export const MOUNT_SOURCE = "layerctl";
/** The longest string fsconfig(2) takes; longer paths are handed over as open directories (Linux 6.13). */
const MAX_STRING_BYTES = 255;

/** "auto": the new interface, mount(2) where the kernel has no `lowerdir+`. The other two force one. */
export type MountInterface = "auto" | "fsopen" | "mount";

/**
 * The stack is mounted at `spec.target` when this returns.
 * @throws {UsageError} `ERR_MOUNT_OPTION_CONFLICT`
 * @throws {UnsupportedError} `ERR_TOO_MANY_LAYERS`, `ERR_MOUNT_REFUSED` with the kernel's words, `ERR_MOUNT_PRIVILEGE`,
 *   `ERR_NO_OVERLAYFS`, `ERR_MOUNT_OPTIONS_TOO_LONG` (mount(2) only)
 * @throws {ConflictError} `ERR_VOLATILE_MARK` if an earlier volatile mount left its mark, `ERR_MOUNT_BUSY` if another
 *   mount uses the upperdir or workdir
 * @throws PosixError for a path that is missing or cannot be used
 */
export function mountOverlay(spec: MountSpec, use: MountInterface = "auto"): void {
  checkSpec(spec);
  if (use !== "mount" && mountWithContext(spec, use)) return;
  if (spec.idMap !== undefined) throw tooOldForIds(spec);
  attemptClassic(spec);
}

function checkSpec(spec: MountSpec): void {
  checkOverlayOptions(spec.options, spec.upperdir !== null);
  const layers = spec.lowerdirs.length;
  if (layers > MAX_LAYERS) {
    const message = `Cannot mount "${display(spec.target)}": it has ${layers} layers, the kernel's overlayfs takes ${MAX_LAYERS}`;
    throw new UnsupportedError("ERR_TOO_MANY_LAYERS", message, { data: { layers, limit: MAX_LAYERS } });
  }
  if (layers === 0 || (spec.upperdir === null && layers < 2)) throw new RangeError("too few layers for overlayfs");
  if ((spec.upperdir === null) !== (spec.workdir === null)) throw new RangeError("upperdir and workdir go together");
  refuseVolatileMark(spec);
}

function tooOldForIds({ target }: MountSpec): UnsupportedError {
  const message = `Cannot mount "${display(target)}": this kernel's overlayfs takes no layers with mapped ids (Linux 6.13)`;
  return new UnsupportedError("ERR_MOUNT_REFUSED", message, { data: { target: display(target) } });
}

/** @throws {ConflictError} `ERR_VOLATILE_MARK` */
export function refuseVolatileMark({ target, workdir }: MountSpec): void {
  if (workdir === null || !hasVolatileMark(workdir)) return;
  const message =
    `Cannot mount "${display(target)}": its changes were last mounted volatile and not unmounted by layerctl, ` +
    "so after a crash some may be lost; mount it volatile again to go on with what is there, or remove it";
  throw new ConflictError("ERR_VOLATILE_MARK", message, { data: { workdir: display(workdir) } });
}

/** False if this kernel has no `lowerdir+` and another interface may be tried. */
function mountWithContext(spec: MountSpec, use: MountInterface): boolean {
  using log = new KernelLog();
  const context = openContext(spec, use);
  if (context === null) return false;
  const mapped: number[] = []; // detached mounts, which are gone when they are closed
  const attempt = (option: string, value: string | null, step: () => void): void => {
    try {
      step();
    } catch (error) {
      if (!(error instanceof PosixError)) throw error;
      const messages = [...contextMessages(readMessage, context), ...log.messages("overlayfs: ")];
      throw refusal(spec, option, value, error, messages);
    }
  };
  try {
    if (use === "auto" && isLegacyContext(context)) return false;
    attempt("source", null, () => fsconfigSet(context, "source", MOUNT_SOURCE));
    if (!setLayers(spec, context, { use, attempt, mapped })) return false;
    for (const [name, value] of kernelOptions(spec.options)) {
      attempt(name, null, () => fsconfigSet(context, name, value));
    }
    attempt("overlay", null, () => createSuperblock(context, spec.idMap));
    attach(spec, context, attempt);
    return true;
  } finally {
    for (const mount of mapped) close(mount);
    close(context);
  }
}

type Attempt = (option: string, value: string | null, step: () => void) => void;

interface Setting {
  readonly use: MountInterface;
  readonly attempt: Attempt;
  /** Where mounts go that are to be open until the superblock is made. */
  readonly mapped: number[];
}

function openContext(spec: MountSpec, use: MountInterface): number | null {
  try {
    return fsopen("overlay");
  } catch (error) {
    if (isErrno(error, "ENOSYS") && use === "auto") return null;
    if (isErrno(error, "EPERM", "ENODEV", "ENOSYS")) throw refusal(spec, "overlay", null, error, []);
    throw error;
  }
}

function setLayers(spec: MountSpec, context: number, { use, attempt, mapped }: Setting): boolean {
  const { idMap } = spec;
  for (const [index, lowerdir] of spec.lowerdirs.entries()) {
    try {
      if (idMap === undefined) setPath(context, "lowerdir+", lowerdir);
      else mapped.push(setMapped(context, idMap, lowerdir, { "lowerdir+": "." }));
    } catch (error) {
      if (index === 0 && use === "auto" && isErrno(error, "EINVAL")) return false; // Linux 6.5 to 6.7
      attempt("lowerdir", lowerdir, () => {
        throw error;
      });
    }
  }
  if (spec.upperdir === null || spec.workdir === null) return true;
  const { upperdir, workdir } = spec;
  if (idMap !== undefined) {
    const parent = dirname(upperdir) as HostPath;
    if (dirname(workdir) !== parent) throw new RangeError("upperdir and workdir lie side by side");
    const names = { upperdir: basename(upperdir), workdir: basename(workdir) };
    attempt("upperdir", upperdir, () => mapped.push(setMapped(context, idMap, parent, names)));
    return true;
  }
  attempt("upperdir", upperdir, () => setPath(context, "upperdir", upperdir));
  attempt("workdir", workdir, () => setPath(context, "workdir", workdir));
  return true;
}

function setPath(context: number, key: string, path: HostPath): void {
  // In an upperdir or workdir given as a string the kernel takes a backslash for an escape, in `lowerdir+` it does not.
  const asString = path.length <= MAX_STRING_BYTES && (key === "lowerdir+" || !path.includes("\\"));
  if (asString) {
    fsconfigSet(context, key, path);
    return;
  }
  const directory = openAt(AT_FDCWD, path, O_PATH | O_DIRECTORY);
  try {
    fsconfigSet(context, key, directory);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ENOTSUP")) throw error;
    fsconfigSet(context, key, `/proc/self/fd/${directory}`); // before Linux 6.13
  } finally {
    close(directory);
  }
}

/**
 * Sets options to directories in `parent`, as the user namespace has them: the mount that they are in, which stays open.
 * overlayfs takes upperdir and workdir of one mount only.
 */
function setMapped(
  context: number,
  { userNamespace }: IdMap,
  parent: HostPath,
  names: Readonly<Record<string, string>>,
): number {
  const mount = openIdMapped(parent, userNamespace);
  try {
    for (const [key, name] of Object.entries(names)) {
      const directory = openAt(mount, name, O_PATH | O_DIRECTORY);
      try {
        fsconfigSet(context, key, directory);
      } finally {
        close(directory);
      }
    }
    return mount;
  } catch (error) {
    close(mount);
    throw error;
  }
}

/** What overlayfs makes for itself it makes as who mounts: who has no place in the namespace could make nothing. */
function createSuperblock(context: number, idMap: IdMap | undefined): void {
  if (idMap === undefined) {
    fsconfigCreate(context);
    return;
  }
  const { uid, gid } = rootOf(idMap);
  asFileOwner(uid, gid, () => fsconfigCreate(context));
}

function attach(spec: MountSpec, context: number, attempt: Attempt): void {
  let mount = -1;
  attempt("overlay", null, () => {
    mount = fsmount(context, spec.readOnly ? MOUNT_ATTR_RDONLY : 0);
  });
  try {
    attempt("target", spec.target, () => moveMount(mount, spec.target));
  } finally {
    close(mount);
  }
}

function attemptClassic(spec: MountSpec): void {
  using log = new KernelLog();
  try {
    mountWithOptionString(spec, MOUNT_SOURCE);
  } catch (error) {
    if (!(error instanceof PosixError)) throw error;
    throw refusal(spec, "overlay", null, error, log.messages("overlayfs: "));
  }
}

function readMessage(fd: number, buffer: Buffer): number {
  return readSync(fd, buffer);
}

/** The error for a step that the kernel refused. `value` is the path of the option at fault. */
function refusal(
  spec: MountSpec,
  option: string,
  value: string | null,
  error: SystemError,
  messages: readonly string[],
): Error {
  const target = display(spec.target);
  const options = { data: { target, option, messages, errno: error.code }, cause: error };
  const words = messages.length === 0 ? error.code : `${error.code}: ${messages.join("; ")}`;
  switch (error.code) {
    case "EPERM":
      return new UnsupportedError("ERR_MOUNT_PRIVILEGE", `Cannot mount "${target}": it takes root (${words})`, options);
    case "ENODEV":
    case "ENOSYS":
      return new UnsupportedError(
        "ERR_NO_OVERLAYFS",
        `Cannot mount "${target}": this kernel has no overlayfs`,
        options,
      );
    case "EBUSY":
      return new ConflictError("ERR_MOUNT_BUSY", `Cannot mount "${target}": ${option} is in use (${words})`, options);
    case "EINVAL":
    case "EOPNOTSUPP":
    case "ENOTSUP":
      break;
    default: // a path that is missing, a loop, no space …: the host's own answer
      return new PosixError(-error.errno, `mount(${option})`, display(value ?? spec.target));
  }
  const at = value === null ? `"${option}"` : `${option} "${display(value)}"`;
  const message = `Cannot mount "${target}": the kernel refuses ${at} (${words})`;
  return new UnsupportedError("ERR_MOUNT_REFUSED", message, options);
}
