/**
 * What the checks run against: a plain directory, kernel overlayfs, or any program that mounts a union file system in
 * user space. This process mounts and unmounts and never looks into a mount: only /proc/self/mountinfo says what is there.
 */

import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isErrno } from "../../src/errors.ts";
import { mountOverlay } from "../../src/mount/kernel-overlay.ts";
import { findMount } from "../../src/mount/mount-info.ts";
import type { OverlayOptions } from "../../src/mount/overlay-options.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { MNT_DETACH, umount } from "../../src/sys/mount.ts";
import { writableNamespace } from "../helpers/tree.ts";
import { copyMerged } from "./copy-merged.ts";
import type { Scene } from "./scene.ts";

const MOUNT_PATIENCE_MS = 30_000;
const EXIT_PATIENCE_MS = 5_000;

/** Where times are coarser than the nanoseconds on disk, as the list of differences says. */
const COARSE_TIMES_NS: Readonly<Record<string, bigint>> = { "fuse-native": 1_000_000n };

export interface Subject {
  /** As in the list of differences. */
  readonly name: string;
  /** True if it makes its tree of layers, so that an upperdir can be looked at. */
  readonly isUnion: boolean;
  /** What its times are rounded down to. */
  readonly timeStepNs: bigint;
  /** The tree of a scene is at its target afterwards, until this is disposed. */
  start(scene: Scene): Promise<AsyncDisposable>;
}

/** A plain directory of the file system that temporary files are on: the behaviour that all others are held to. */
const ext4: Subject = {
  name: "ext4",
  isUnion: false,
  timeStepNs: 1n,
  async start({ lowerdirs, target }) {
    copyMerged(lowerdirs, target);
    return { async [Symbol.asyncDispose]() {} };
  },
};

/** Kernel overlayfs, with what a host may set otherwise set to the kernel's own defaults. */
const kernel: Subject = {
  name: "kernel",
  isUnion: true,
  timeStepNs: 1n,
  async start(scene) {
    mountInKernel(scene);
    return {
      async [Symbol.asyncDispose]() {
        unmount(scene.target);
      },
    };
  },
};

/** The layers of a scene, mounted by the kernel at its target. */
export function mountInKernel({ lowerdirs, upperdir, workdir, target }: Scene): void {
  // In a user namespace no redirect can be asked for, nor refused.
  const index = hasIndex(workdir); // then names of lower files that were copied up are to be found in it
  const options: OverlayOptions =
    writableNamespace === "user"
      ? { index: false, metacopy: false, userxattr: true }
      : { index, metacopy: false, redirectDir: "off" };
  mountOverlay({ lowerdirs, upperdir, workdir, target, readOnly: false, options });
}

function hasIndex(workdir: HostPath): boolean {
  try {
    return readdirSync(bytesOf(joinHost(workdir, "index"))).length > 0;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** Takes away what is mounted at `target`, at once or, if something is still in use, as soon as it no longer is. */
export function unmount(target: HostPath): void {
  if (findMount(target) === null) return;
  try {
    umount(target);
  } catch (error) {
    if (!isErrno(error, "EBUSY")) throw error;
    umount(target, MNT_DETACH);
  }
}

/**
 * "ext4", "kernel", or a program: its command line by words, in which %L are the lowerdirs, %U is the upperdir, %W the
 * workdir and %M the mountpoint. "NAME=" before it says what it is called, else its own name does.
 */
export function subjectOf(text: string): Subject {
  if (text === "ext4") return ext4;
  if (text === "kernel") return kernel;
  const [, given, commandLine = text] = /^([a-z][a-z0-9-]*)=(.*)$/s.exec(text) ?? [];
  const words = commandLine.split(" ").filter((word) => word !== "");
  const name = given ?? (words[0] ?? "").replace(/.*\//, "");
  const timeStepNs = COARSE_TIMES_NS[name] ?? 1n;
  return { name, isUnion: true, timeStepNs, start: (scene) => startProgram(words, scene) };
}

async function startProgram(words: readonly string[], scene: Scene): Promise<AsyncDisposable> {
  const values = { L: scene.lowerdirs.join(":"), U: scene.upperdir, W: scene.workdir, M: scene.target };
  const [command = "", ...args] = words.map((word) =>
    word.replace(/%([LUWM])/g, (_, letter: keyof typeof values) => values[letter]),
  );
  const logPath = joinHost(scene.directory, "server.log");
  const log = openSync(bytesOf(logPath), "a");
  const child = spawn(command, args, { stdio: ["ignore", log, log] });
  closeSync(log);
  let failure: string | null = null;
  child.once("error", (error) => (failure = error.message));
  child.once("exit", (code) => {
    if (code !== 0) failure ??= `it ended with ${code}`; // with 0 it has gone into the background
  });
  const deadline = Date.now() + MOUNT_PATIENCE_MS;
  while (findMount(scene.target) === null) {
    if (failure === null && Date.now() < deadline) {
      await sleep(5);
      continue;
    }
    await stopProgram(scene.target);
    const words = readFileSync(bytesOf(logPath), "utf8").trim();
    throw new Error(`${command} did not mount: ${failure ?? `nothing after ${MOUNT_PATIENCE_MS} ms`}: ${words}`);
  }
  return { [Symbol.asyncDispose]: () => stopProgram(scene.target) };
}

async function stopProgram(target: HostPath): Promise<void> {
  unmount(target);
  const deadline = Date.now() + EXIT_PATIENCE_MS;
  while (serversOf(target).length > 0 && Date.now() < deadline) await sleep(5);
  killServers(target);
  unmount(target); // what mounted only then, after all the time it had
}

/** Ends the programs that serve `target`. What waits in a call to the mount fails then. */
export function killServers(target: HostPath): void {
  for (const pid of serversOf(target)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error; // it has ended by itself
    }
  }
}

/** A server may have gone into the background: its command line has the mountpoint, which no other process has. */
function serversOf(target: HostPath): readonly number[] {
  const isServer = (pid: string): boolean => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
      return words.includes(target) && !words.some((word) => word.endsWith("checks-process.ts"));
    } catch {
      return false; // it has ended
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && isServer(name))
    .map(Number);
}
