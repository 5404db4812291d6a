/**
 * Namespaces of the calling thread (setns(2)) and what is set in them. Node has many threads, and only the one that calls
 * moves; so do the children that it starts meanwhile. A user namespace cannot be joined this way.
 */

import { closeSync, openSync } from "node:fs";
import { bytesOf, type HostPath } from "../paths.ts";
import { isInUserNamespace } from "../privilege.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "./file.ts";
import { check, cString, declare, failure } from "./libc.ts";
import { addMountAttributes, MS_PRIVATE, MS_RDONLY, MS_REC, mount } from "./mount.ts";

const setnsCall = declare("int setns(int fd, int type)");
const unshareCall = declare("int unshare(int flags)");
const fchdirCall = declare("int fchdir(int fd)");
const sethostnameCall = declare("int sethostname(const void *name, size_t length)");
const pivotRootCall = declare(
  "long syscall(long number, const void *root, const void *old, long c, long d, long e, long f)",
);

const CLONE_FS = 0x200;
const SYS_PIVOT_ROOT = process.arch === "arm64" ? 41 : 155;

/** What a thread can leave and come back to. */
const TYPES = { mnt: 0x0002_0000, cgroup: 0x0200_0000, uts: 0x0400_0000, ipc: 0x0800_0000, net: 0x4000_0000 } as const;
export type ThreadNamespace = keyof typeof TYPES;
/** What a thread can join: the pid namespace counts for the children that it has afterwards. */
const JOINABLE = { ...TYPES, pid: 0x2000_0000 } as const;
export type JoinableNamespace = keyof typeof JOINABLE;

/**
 * Does synchronous `work` in namespaces of process `pid`, and comes back. In another mount namespace the working directory
 * is that namespace's root meanwhile. In a user namespace, which may join its own namespaces only, this thread comes back to
 * the mounts, and stays in the others.
 * @throws PosixError, and what `work` throws
 */
export function inNamespaces<Result>(pid: number, names: readonly ThreadNamespace[], work: () => Result): Result {
  const opened: { readonly own: number; readonly name: ThreadNamespace }[] = [];
  const directory = openAt(AT_FDCWD, ".", O_PATH | O_DIRECTORY);
  try {
    if (names.includes("mnt")) check(unshareCall(CLONE_FS), "unshare"); // root and working directory of this thread only
    const theirs = names.map((name) => ({ name, fd: openSync(`/proc/${pid}/ns/${name}`, "r") }));
    try {
      for (const { name, fd } of theirs) {
        opened.push({ name, own: openSync(`/proc/thread-self/ns/${name}`, "r") });
        check(setnsCall(fd, TYPES[name]), `setns(${name})`);
      }
    } finally {
      for (const { fd } of theirs) closeSync(fd);
    }
    return work();
  } finally {
    for (const { own, name } of opened.reverse()) {
      comeBack(own, name);
      close(own);
    }
    if (names.includes("mnt")) check(fchdirCall(directory), "fchdir");
    close(directory);
  }
}

/** Moves the calling thread into the network namespace that is open. @throws PosixError */
export function joinNetworkNamespace(fd: number): void {
  check(setnsCall(fd, TYPES.net), "setns(net)");
}

/** Does synchronous `work` in the network namespace that is open, and comes back. @throws PosixError, and what `work` throws */
export function inNetworkNamespace<Result>(fd: number, work: () => Result): Result {
  const own = openSync("/proc/thread-self/ns/net", "r");
  try {
    joinNetworkNamespace(fd);
    return work();
  } finally {
    joinNetworkNamespace(own);
    closeSync(own);
  }
}

/**
 * Makes a network namespace: its descriptor, which the caller closes. It goes with the last process and descriptor.
 * @throws PosixError
 */
export function makeNetworkNamespace(): number {
  const own = openSync("/proc/thread-self/ns/net", "r");
  try {
    check(unshareCall(TYPES.net), "unshare(net)");
    const made = openSync("/proc/thread-self/ns/net", "r");
    joinNetworkNamespace(own);
    return made;
  } finally {
    closeSync(own);
  }
}

function comeBack(own: number, name: ThreadNamespace): void {
  if (setnsCall(own, TYPES[name]) >= 0) return;
  const error = failure(`setns(${name})`);
  if (name === "mnt" || error.code !== "EPERM" || !isInUserNamespace()) throw error;
}

/** Changes the working directory of this thread. @throws PosixError */
export function changeDirectory(fd: number): void {
  check(fchdirCall(fd), "fchdir");
}

/**
 * Makes the working directory, a mount point, the root of its mount namespace and of every process whose root the old one
 * was. The old root then lies over the new one: unmount "." to uncover it.
 * @throws PosixError
 */
export function pivotToWorkingDirectory(): void {
  check(Number(pivotRootCall(SYS_PIVOT_ROOT, cString("."), cString("."), 0, 0, 0, 0)), "pivot_root");
}

/** @throws PosixError */
export function setHostname(name: string): void {
  const bytes = bytesOf(name);
  check(sethostnameCall(bytes, bytes.length), "sethostname");
}

/**
 * Does synchronous `work` in a copy of the mount namespace, whose mounts and those of the original do not follow each other,
 * and comes back. @throws PosixError, and what `work` throws
 */
export function inMountCopy<Result>(work: () => Result): Result {
  const directory = openAt(AT_FDCWD, ".", O_PATH | O_DIRECTORY);
  const own = openOwnMountNamespace();
  try {
    check(unshareCall(CLONE_FS | TYPES.mnt), "unshare");
    mount("", "/" as HostPath, "", MS_REC | MS_PRIVATE, "");
    return work();
  } finally {
    check(setnsCall(own, TYPES.mnt), "setns(mnt)");
    check(fchdirCall(directory), "fchdir");
    close(own);
    close(directory);
  }
}

/**
 * As `inMountCopy`, and nothing can be written there: a program that is started there can be overwritten by nobody through its
 * /proc/PID/exe.
 */
export function inReadOnlyCopy<Result>(work: () => Result): Result {
  return inMountCopy(() => {
    const root = openAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    try {
      addMountAttributes(root, MS_RDONLY, true);
    } finally {
      close(root);
    }
    return work();
  });
}

/** The mount namespace of this thread, which is there as long as this is open. The caller closes it. @throws a system error */
export function openOwnMountNamespace(): number {
  return openSync("/proc/thread-self/ns/mnt", "r");
}

/** Moves this thread, with root and working directory, into the namespace that is open as `fd`; it stays. @throws PosixError */
export function joinNamespace(name: JoinableNamespace, fd: number): void {
  if (name === "mnt") check(unshareCall(CLONE_FS), "unshare");
  check(setnsCall(fd, JOINABLE[name]), `setns(${name})`);
}
