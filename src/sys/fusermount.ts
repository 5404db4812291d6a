/**
 * fusermount3(1), which mounts and unmounts FUSE for users without privileges. It hands over the device's descriptor
 * through a socket that it inherits, named by _FUSE_COMMFD (libfuse, util/fusermount.c; SCM_RIGHTS in unix(7)).
 */

import { spawnSync } from "node:child_process";
import { isErrno, PosixError, UnsupportedError } from "../errors.ts";
import { bytesOf, display, type HostPath } from "../paths.ts";
import { close } from "./file.ts";
import { MNT_DETACH, umount } from "./mount.ts";
import { receiveDescriptor, socketPair } from "./socket.ts";

const PROGRAM = "fusermount3";
const EBUSY = 16;
/** Where the child finds its end of the socket. */
const CHILD_FD = 3;

/**
 * Mounts at `target`: the descriptor that requests come from. `options` are those of fusermount3, a byte string.
 * @throws {UnsupportedError} `ERR_FUSE_UNAVAILABLE` without the program, `ERR_MOUNT_PRIVILEGE` with its words
 */
export function mountWithFusermount(target: HostPath, options: string): number {
  const [own, theirs] = socketPair();
  try {
    const output = run(["-o", utf8(options), "--", utf8(target)], theirs);
    if (output !== null) throw refused(`Cannot mount at "${display(target)}"`, output, "ERR_MOUNT_PRIVILEGE");
    const fd = receiveDescriptor(own);
    if (fd !== null) return fd;
    throw refused(`Cannot mount at "${display(target)}"`, "it gave no descriptor", "ERR_MOUNT_PRIVILEGE");
  } finally {
    close(own);
    close(theirs);
  }
}

/**
 * Unmounts a FUSE mount: umount2(2), and through fusermount3 where that takes a privilege.
 * @throws PosixError `EBUSY` if it is in use, `EINVAL` if nothing is mounted there
 * @throws {UnsupportedError} `ERR_FUSE_UNAVAILABLE` without the program, `ERR_MOUNT_PRIVILEGE` with its words
 */
export function unmountFuse(target: HostPath, flags = 0): void {
  try {
    umount(target, flags);
  } catch (error) {
    if (!isErrno(error, "EPERM")) throw error;
    const lazily = (flags & MNT_DETACH) === 0 ? [] : ["-z"];
    const output = run(["-u", ...lazily, "--", utf8(target)], "ignore");
    if (output === null) return;
    if (/\bbusy\b/.test(output)) throw new PosixError(EBUSY, "umount2", display(target)); // all that it says of it
    throw refused(`Cannot unmount "${display(target)}"`, output, "ERR_MOUNT_PRIVILEGE");
  }
}

/** null if it succeeded, else what it said. */
function run(args: readonly string[], socket: number | "ignore"): string | null {
  const env = { PATH: process.env.PATH, LC_ALL: "C", _FUSE_COMMFD: String(CHILD_FD) };
  const stdio: ("ignore" | "pipe" | number)[] = ["ignore", "ignore", "pipe", socket];
  const { status, stderr, error } = spawnSync(PROGRAM, args, { env, stdio, encoding: "utf8" });
  if (error !== undefined) {
    if (!isErrno(error, "ENOENT", "EACCES")) throw error;
    const message = `Cannot run "${PROGRAM}", which mounts and unmounts for users without root: ${error.code}; install fuse3`;
    throw new UnsupportedError("ERR_FUSE_UNAVAILABLE", message, { cause: error });
  }
  return status === 0 ? null : stderr.trim().replace(/^\S*fusermount3: /, "");
}

/** Node gives programs their arguments as UTF-8. */
function utf8(bytes: string): string {
  const text = bytesOf(bytes).toString("utf8");
  if (Buffer.from(text, "utf8").equals(bytesOf(bytes))) return text;
  throw refused(`Cannot pass "${display(bytes)}" to ${PROGRAM}`, "it is not UTF-8", "ERR_MOUNT_PRIVILEGE");
}

function refused(what: string, why: string, code: string): UnsupportedError {
  return new UnsupportedError(code, `${what}: fusermount3: ${why}`);
}
