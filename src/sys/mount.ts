/**
 * The mount API of Linux 5.2 (fsopen, fsconfig, fsmount, move_mount), and mount(2) and umount2(2) before it. glibc has
 * no wrappers for the new calls in Debian 12, so they go through syscall(2); their numbers are the same on x86-64 and
 * arm64.
 */

import type { HostPath } from "../paths.ts";
import { AT_FDCWD, close } from "./file.ts";
import { check, cString, declare } from "./libc.ts";

// syscall(2) loads six arguments whatever the number takes, the last from the stack. koffi calls on a small stack of its
// own, where reading past the arguments given can cross its end: every prototype here has all six.
const fsopenCall = declare<number>(
  "long syscall(long number, const void *name, unsigned int flags, long c, long d, long e, long f)",
);
const fsconfigCall = declare<number>(
  "long syscall(long number, int fd, unsigned int command, const void *key, const void *value, int aux, long f)",
);
const fsmountCall = declare<number>(
  "long syscall(long number, int fd, unsigned int flags, unsigned int attributes, long d, long e, long f)",
);
const moveMountCall = declare<number>(
  "long syscall(long number, int from, const void *fromPath, int to, const void *toPath, unsigned int flags, long f)",
);
const mountCall = declare(
  "int mount(const void *source, const void *target, const void *type, unsigned long flags, const void *data)",
);
const umountCall = declare("int umount2(const void *target, int flags)");

const SYS = { openTree: 428, moveMount: 429, fsopen: 430, fsconfig: 431, fsmount: 432, mountSetattr: 442 } as const;
const CLOEXEC = 1;
const FSCONFIG = { setFlag: 0, setString: 1, setFd: 5, create: 6 } as const;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

const openTreeCall = declare<number>(
  "long syscall(long number, int directory, const void *path, unsigned int flags, long d, long e, long f)",
);
const mountSetattrCall = declare<number>(
  "long syscall(long number, int directory, const void *path, unsigned int flags, const void *attributes, size_t size, long f)",
);

/** `fsmount` attributes and, with the same meaning, `mount` flags. */
export const MOUNT_ATTR_RDONLY = 1;
/** `mount` flags. */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_BIND = 0x1000;
export const MS_MOVE = 0x2000;
export const MS_REC = 0x4000;
export const MS_PRIVATE = 0x4_0000;
export const MS_STRICTATIME = 0x100_0000;
/** `umount` flags. */
export const MNT_DETACH = 2;

/** A new file-system context of `type`. The caller closes it. @throws PosixError `ENOSYS` before Linux 5.2 */
export function fsopen(type: string): number {
  return check(Number(fsopenCall(SYS.fsopen, cString(type), CLOEXEC, 0, 0, 0, 0)), "fsopen");
}

/** Sets an option to a string (at most 255 bytes), an open file, or on. @throws PosixError */
export function fsconfigSet(context: number, key: string, value: string | number | true): void {
  const name = cString(key);
  const result =
    typeof value === "number"
      ? fsconfigCall(SYS.fsconfig, context, FSCONFIG.setFd, name, null, value, 0)
      : value === true
        ? fsconfigCall(SYS.fsconfig, context, FSCONFIG.setFlag, name, null, 0, 0)
        : fsconfigCall(SYS.fsconfig, context, FSCONFIG.setString, name, cString(value), 0, 0);
  check(Number(result), `fsconfig(${key})`);
}

/** Makes the superblock. @throws PosixError */
export function fsconfigCreate(context: number): void {
  check(Number(fsconfigCall(SYS.fsconfig, context, FSCONFIG.create, null, null, 0, 0)), "fsconfig(create)");
}

/** What the kernel had to say about this context: one line per message, "e ", "w " or "i " before each. */
export function contextMessages(read: (fd: number, buffer: Buffer) => number, context: number): readonly string[] {
  const messages: string[] = [];
  const buffer = Buffer.alloc(1024);
  for (;;) {
    let size: number;
    try {
      size = read(context, buffer);
    } catch {
      return messages; // ENODATA: no more; a kernel without messages has none to lose
    }
    if (size === 0) return messages;
    messages.push(buffer.toString("utf8", 0, size).trim());
  }
}

/** A detached mount of the superblock. The caller closes it; unless moved before, it is gone then. @throws PosixError */
export function fsmount(context: number, attributes: number): number {
  return check(Number(fsmountCall(SYS.fsmount, context, CLOEXEC, attributes, 0, 0, 0)), "fsmount");
}

/** Attaches a detached mount at `target`. @throws PosixError */
export function moveMount(mount: number, target: HostPath): void {
  const result = moveMountCall(
    SYS.moveMount,
    mount,
    cString(""),
    AT_FDCWD,
    cString(target),
    MOVE_MOUNT_F_EMPTY_PATH,
    0,
  );
  check(Number(result), "move_mount", target);
}

/** mount(2). `data` is a byte string of at most one page. @throws PosixError */
export function mount(source: string, target: HostPath, type: string, flags: number, data: string): void {
  check(mountCall(cString(source), cString(target), cString(type), flags, cString(data)), "mount", target);
}

/** umount2(2). @throws PosixError `EINVAL` if nothing is mounted there, `EBUSY` if it is in use */
export function umount(target: HostPath, flags = 0): void {
  check(umountCall(cString(target), flags), "umount2", target);
}

const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;

/**
 * Sets attributes (`MS_RDONLY`, `MS_NOSUID`, `MS_NODEV`, `MS_NOEXEC`) of the mount that an open file or directory is the
 * root of, and of all below it if `isRecursive`; what is set already stays.
 * @throws PosixError `ENOSYS` before Linux 5.12
 */
export function addMountAttributes(fd: number, attributes: number, isRecursive: boolean): void {
  const wanted = Buffer.from(new BigUint64Array([BigInt(attributes), 0n, 0n, 0n]).buffer);
  const flags = AT_EMPTY_PATH | (isRecursive ? AT_RECURSIVE : 0);
  check(Number(mountSetattrCall(SYS.mountSetattr, fd, cString(""), flags, wanted, wanted.length, 0)), "mount_setattr");
}

const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const MOUNT_ATTR_IDMAP = 0x10_0000n;

/**
 * A detached mount of what is at `path`, with ids as the user namespace that is open as `userNamespace` maps them: on disk
 * they are the namespace's. The caller closes it; it is gone then, but for what was mounted of it.
 * @throws PosixError `EINVAL` if the file system cannot, `ENOSYS` before Linux 5.12
 */
export function openIdMapped(path: HostPath, userNamespace: number): number {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC;
  const mount = check(Number(openTreeCall(SYS.openTree, AT_FDCWD, cString(path), flags, 0, 0, 0)), "open_tree", path);
  const wanted = Buffer.from(new BigUint64Array([MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(userNamespace)]).buffer);
  const result = mountSetattrCall(SYS.mountSetattr, mount, cString(""), AT_EMPTY_PATH, wanted, wanted.length, 0);
  try {
    check(Number(result), "mount_setattr", path);
  } catch (error) {
    close(mount);
    throw error;
  }
  return mount;
}
