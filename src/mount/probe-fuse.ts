/** What FUSE can do here, found out by a mount of ours in a scratch directory, and for users who are not root. */

import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { isErrno, isSystemError, LayerctlError } from "../errors.ts";
import { bytesOf, type HostPath, joinHost } from "../paths.ts";
import { STATISTICS_XATTR } from "../sys/fuse-device.ts";
import { unmountFuse } from "../sys/fusermount.ts";
import { MNT_DETACH } from "../sys/mount.ts";
import { getXattr } from "../sys/xattr.ts";
import { startFuseServer } from "./fuse-server.ts";
import type { HostCheck } from "./probe.ts";

/**
 * Mounts below `directory`, which must exist, and makes a file there. Nothing stays behind. Takes as long as a server does
 * to start.
 * @throws Node's system error if nothing can be written there
 */
export async function probeFuse(directory: HostPath): Promise<readonly HostCheck[]> {
  const scratch = joinHost(directory, `probe-fuse-${process.pid}-${randomBytes(4).toString("hex")}`);
  const path = (name: string): HostPath => joinHost(scratch, name);
  const target = path("target");
  for (const each of [scratch, path("lower"), path("upper"), path("work"), target]) mkdirSync(bytesOf(each));
  let isMounted = false;
  try {
    const options = "lowerdir=lower,upperdir=upper,workdir=work";
    await startFuseServer({ options, target, directory: scratch });
    isMounted = true;
    return [...mountChecks(target), usersCheck()];
  } catch (error) {
    return [refusedCheck(error), usersCheck()];
  } finally {
    if (isMounted) unmountFuse(target, MNT_DETACH);
    rmSync(bytesOf(scratch), { recursive: true, force: true });
  }
}

function refusedCheck(error: unknown): HostCheck {
  if (!(error instanceof LayerctlError) && !isSystemError(error)) throw error;
  const advice = "load the module (modprobe fuse), let the container have /dev/fuse, or install fuse3 for fusermount3";
  return { name: "FUSE mount", works: false, detail: error.message, advice };
}

function mountChecks(target: HostPath): readonly HostCheck[] {
  writeFileSync(bytesOf(joinHost(target, "file")), "probe");
  const text = getXattr(target, STATISTICS_XATTR)?.toString("utf8") ?? "{}";
  const { opens } = JSON.parse(text) as { readonly opens?: { readonly passthrough: number } };
  const detail = process.geteuid?.() === 0 ? "mounted" : "mounted, by fusermount3";
  const passthrough: HostCheck =
    (opens?.passthrough ?? 0) > 0
      ? { name: "FUSE passthrough", works: true, detail: "the kernel reads and writes the files itself" }
      : {
          name: "FUSE passthrough",
          works: false,
          detail: "every read and write goes through the server",
          advice: "works without it, slower; Linux 6.9 has it, for root that is in no user namespace",
        };
  return [{ name: "FUSE mount", works: true, detail }, passthrough];
}

const SETUID = 0o4000;
const OTHERS_MAY_WRITE = 0o002;

/** What a user who is not root needs for a mount of his own. */
function usersCheck(): HostCheck {
  const name = "FUSE for users";
  const program = (process.env.PATH ?? "")
    .split(delimiter)
    .map((directory) => modeOf(join(directory, "fusermount3")))
    .find((mode) => mode !== null);
  const refuse = (detail: string, advice: string): HostCheck => ({ name, works: false, detail, advice });
  if (program === undefined) return refuse("there is no fusermount3", "install fuse3");
  if (((program ?? 0) & SETUID) === 0) return refuse("fusermount3 is not setuid", "chown root and chmod 4755 it");
  const device = modeOf("/dev/fuse");
  if (device === null) return refuse("there is no /dev/fuse", "load the module (modprobe fuse)");
  if ((device & OTHERS_MAY_WRITE) === 0) return refuse("/dev/fuse is for root only", "chmod 666 /dev/fuse");
  return { name, works: true, detail: "by fusermount3, without passthrough, their own files only" };
}

function modeOf(path: string): number | null {
  try {
    return statSync(path).mode;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return null;
    throw error;
  }
}
