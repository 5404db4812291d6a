/**
 * Which way a mount is made: by kernel overlayfs where it can, for it is the faster one, else by our server over FUSE. Both
 * leave the same on disk, so that a snapshot may be continued with the other.
 */

import { ConflictError, isErrno, LayerctlError, UnsupportedError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { display, type HostPath } from "../paths.ts";
import { umount } from "../sys/mount.ts";
import { fuseOptions } from "./fuse-options.ts";
import { startFuseServer } from "./fuse-server.ts";
import { mountOverlay, refuseVolatileMark } from "./kernel-overlay.ts";
import { findMount } from "./mount-info.ts";
import type { MountSpec } from "./mount-spec.ts";

/** What a user may ask for. */
export type RequestedBackend = "auto" | Backend;
export type Backend = "kernel" | "fuse";

export interface BackendOptions {
  readonly backend: RequestedBackend;
  /** What the mount table shows for a FUSE mount. */
  readonly source: HostPath;
  /** Why kernel overlayfs cannot show what is there; null if it can. */
  readonly notByKernel: string | null;
  readonly logger: Logger;
  /** A FUSE mount is to end when this process does. */
  readonly endsWithCaller?: boolean;
}

/** Why the kernel refuses, where FUSE need not: no privilege, no overlayfs, an upperdir or layer that it does not take. */
const CURABLE = [
  "ERR_MOUNT_PRIVILEGE",
  "ERR_NO_OVERLAYFS",
  "ERR_MOUNT_REFUSED",
  "ERR_TOO_MANY_LAYERS",
  "ERR_MOUNT_OPTIONS_TOO_LONG",
];

/**
 * The stack is mounted at `spec.target` when this settles; by which backend is the result. With "auto" the kernel is asked
 * first, and a warning tells why it was not the kernel.
 * @throws as `mountOverlay`, also where FUSE could not help
 * @throws {UnsupportedError} `ERR_FUSE_OPTION`, `ERR_FUSE_UNAVAILABLE`, `ERR_FUSE_SERVER`; `ERR_MOUNT_REFUSED` for
 *   `notByKernel`
 * @throws {ConflictError} `ERR_VOLATILE_MARK`, `ERR_MOUNT_BUSY`
 */
export async function mountStack(spec: MountSpec, options: BackendOptions): Promise<Backend> {
  const { backend, logger } = options;
  const refusal = backend === "fuse" ? null : mountByKernel(spec, options.notByKernel);
  if (backend !== "fuse" && refusal === null) return "kernel";
  if (refusal !== null && (backend === "kernel" || !CURABLE.includes(refusal.code))) throw refusal;
  try {
    await mountByFuse(spec, options.source, options.endsWithCaller ?? false);
  } catch (error) {
    if (refusal === null) throw error;
    logger.warn("mount.fuse.refused", { target: display(spec.target), reason: reasonOf(error) });
    throw refusal;
  }
  if (refusal !== null) logger.warn("mount.fuse", { target: display(spec.target), reason: refusal.message });
  return "fuse";
}

/** What the kernel has against it; null if it is mounted. */
function mountByKernel(spec: MountSpec, notByKernel: string | null): LayerctlError | null {
  if (notByKernel !== null) return refused(spec, notByKernel);
  try {
    mountOverlay(spec);
  } catch (error) {
    if (error instanceof LayerctlError) return error;
    throw error;
  }
  if (spec.readOnly || !isReadOnly(spec.target)) return null;
  umount(spec.target);
  return refused(spec, "the kernel takes the upperdir read-only");
}

/** Where the workdir cannot be used the kernel mounts all the same, for reading (fs/overlayfs/super.c). */
function isReadOnly(target: HostPath): boolean {
  return findMount(target)?.superOptions.some(([name]) => name === "ro") ?? false;
}

function refused(spec: MountSpec, why: string): UnsupportedError {
  return new UnsupportedError("ERR_MOUNT_REFUSED", `Cannot mount "${display(spec.target)}": ${why}`);
}

async function mountByFuse(spec: MountSpec, source: HostPath, endsWithCaller: boolean): Promise<void> {
  refuseVolatileMark(spec);
  const options = fuseOptions(spec, source);
  try {
    await startFuseServer({ options, target: spec.target, directory: "/" as HostPath, endsWithCaller });
  } catch (error) {
    if (!isErrno(error, "EBUSY")) throw error;
    const message = `Cannot mount "${display(spec.target)}": another server uses its workdir`;
    throw new ConflictError("ERR_MOUNT_BUSY", message, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
