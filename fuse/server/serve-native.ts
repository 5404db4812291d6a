/**
 * Serves one mount through fuse-native. Its addon calls the main thread, so that is where the union is here; what could
 * wait for an answer of ours, as unmounting can, is for another.
 */

import { readdirSync, readlinkSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { isErrno, PosixError, UnsupportedError } from "../../src/errors.ts";
import type { Logger } from "../../src/log.ts";
import { bytesOf, display, type HostPath } from "../../src/paths.ts";
import { AT_FDCWD, S_IFDIR, S_IFMT } from "../../src/sys/file.ts";
import { closeOnExec, deviceState, FUSE_TYPE } from "../../src/sys/fuse-device.ts";
import { unmountFuse } from "../../src/sys/fusermount.ts";
import { MNT_DETACH } from "../../src/sys/mount.ts";
import { statAt } from "../../src/sys/stat.ts";
import type { FuseOptions } from "../options.ts";
import { OP } from "../protocol/constants.ts";
import { mountNative, type NativeCalls } from "../transports/fuse-native.ts";
import { nativeCalls } from "../transports/native-calls.ts";
import { ERRNO } from "../union/errno.ts";
import { Union } from "../union/union.ts";
import type { Counters } from "./counters.ts";
import { errnoOf } from "./errno-of.ts";
import { PathOperations } from "./path-operations.ts";
import type { Task, UnmountTask } from "./serve.ts";

/** libfuse tells nobody that its mount is gone. */
const LOOK_MS = 100;
/** Then its thread takes some more steps, in which the process should not end. */
const PATIENCE_MS = 2000;

/** The bundle has the thread beside it; a checkout runs the source. */
const UNMOUNT_THREAD = new URL(
  import.meta.url.endsWith(".ts") ? "./unmount-thread.ts" : "./fuse-unmount.cjs",
  import.meta.url,
);

/**
 * Mounts and serves; settles when the mount is gone.
 * @throws as `mountNative` and `Union`; PosixError if the target is no directory
 */
export async function serveNative(task: Task, counters: Counters, log: Logger, onReady: () => void): Promise<void> {
  const target = textOf(task.target);
  expectDirectory(task.target, log);
  // No ACLs: the kernel does not look at them on a mount of libfuse 2.
  using union = new Union({ ...task.options, posixAcl: false }, log);
  const initialized = Promise.withResolvers<void>();
  const calls = nativeCalls(new PathOperations(union, counters), () => initialized.resolve(), log);
  const before = openDevices();
  const mount = mountNative(target, optionsOf(task.options), counted(calls, union, counters), (error, call) =>
    errnoOf(error, { call }, { log, counters }),
  );
  try {
    const device = openDevices().find((fd) => !before.includes(fd));
    if (device === undefined) throw new Error("libfuse has mounted without /dev/fuse");
    closeOnExec(device);
    const unmounted = untilUnmounted(device);
    await Promise.race([initialized.promise, unmounted]);
    onReady();
    await unmounted;
  } finally {
    mount.close();
  }
}

/** libfuse looks at its target first, and does not mount over what a server has left that was killed. */
function expectDirectory(target: HostPath, log: Logger): void {
  try {
    if ((statAt(AT_FDCWD, target).mode & S_IFMT) !== S_IFDIR) throw new PosixError(ERRNO.ENOTDIR, "mount", target);
  } catch (error) {
    if (!isErrno(error, "ENOTCONN")) throw error;
    unmountFuse(target, MNT_DETACH);
    log.warn("fuse.dead.unmounted", { target: display(target) });
    expectDirectory(target, log);
  }
}

/** Unmounts in a thread of its own: the kernel may have something to write first, which this one is to take. */
export function unmountBesides(target: HostPath, log: Logger): void {
  const workerData: UnmountTask = { target };
  const thread = new Worker(UNMOUNT_THREAD, { workerData });
  thread.on("message", (reason: string) => log.error("fuse.unmount.failed", { target, reason }));
  thread.on("error", (error) => log.error("fuse.unmount.failed", { target, reason: String(error) }));
}

function textOf(path: string): string {
  const text = bytesOf(path).toString("utf8");
  if (bytesOf(path).equals(Buffer.from(text, "utf8"))) return text;
  const message = `Cannot pass "${display(path)}" to fuse-native: it is not UTF-8; use transport "device"`;
  throw new UnsupportedError("ERR_FUSE_NATIVE_MOUNT", message);
}

/** Names that the addon and the protocol have in common count as such. */
const COUNTED_AS: Readonly<Record<string, number>> = {
  ...OP,
  fgetattr: OP.getattr,
  chmod: OP.setattr,
  chown: OP.setattr,
  truncate: OP.setattr,
  ftruncate: OP.setattr,
  utimens: OP.setattr,
};

function counted(calls: NativeCalls, { nodes, openFiles }: Union, counters: Counters): NativeCalls {
  return Object.fromEntries(
    Object.entries(calls).map(([name, { answer, onFailure }]) => {
      const opcode = COUNTED_AS[name] ?? 0;
      const timed: typeof answer = (args) => {
        const before = performance.now();
        try {
          if (openFiles.isCrowded) openFiles.makeRoom(nodes);
          return answer(args);
        } finally {
          counters.count(opcode, (performance.now() - before) * 1000);
          counters.nodes = nodes.size;
        }
      };
      return [name, { answer: timed, onFailure }];
    }),
  );
}

/** What libfuse 2 is asked for (fuse.c, `fuse_lib_opts`; mount.c, `fuse_mount_opts`). */
function optionsOf({ mountFlags, readOnly, source, context, timeoutSeconds, allowOther }: FuseOptions): string {
  const isRoot = process.geteuid?.() === 0;
  const known = mountFlags.filter((flag) => !/diratime$/.test(flag)); // which libfuse does not know
  return [
    ...(isRoot ? ["nonempty", "suid", "dev"] : []), // fusermount refuses them
    readOnly ? "ro" : "rw",
    "noatime",
    ...known,
    "default_permissions",
    ...(isRoot || allowOther ? ["allow_other"] : []),
    "use_ino",
    "big_writes",
    // Names change through the mount alone. So do attributes, but where a file has several names the kernel takes them
    // for several files here, and does not know that each changes all.
    `entry_timeout=${timeoutSeconds}`,
    `negative_timeout=${timeoutSeconds}`,
    "attr_timeout=0",
    `subtype=${FUSE_TYPE.replace("fuse.", "")}`,
    ...(context === null ? [] : [`context=${escaped(`"${context}"`)}`]),
    `fsname=${escaped(textOf(source))}`,
  ].join(",");
}

function escaped(text: string): string {
  return text.replace(/[\\,]/g, "\\$&");
}

/** The descriptors of /dev/fuse that this process has. */
function openDevices(): readonly number[] {
  const isDevice = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === "/dev/fuse";
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false; // the one of the listing itself
      throw error;
    }
  };
  return readdirSync("/proc/self/fd").filter(isDevice).map(Number);
}

async function untilUnmounted(device: number): Promise<void> {
  let patience = PATIENCE_MS / LOOK_MS;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const state = deviceState(device);
    if (state === "closed") return;
    if (state === "unmounted" && --patience <= 0) return;
  }
}
