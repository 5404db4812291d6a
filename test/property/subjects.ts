/** What the properties are tested of, by name: see `subjectOf`. */

import { fileURLToPath } from "node:url";
import { parseFuseOptions } from "../../fuse/options.ts";
import { Union } from "../../fuse/union/union.ts";
import { UsageError } from "../../src/errors.ts";
import { silentLogger } from "../../src/log.ts";
import { mountOverlay } from "../../src/mount/kernel-overlay.ts";
import { type OverlayOptions, parseOverlayOptions } from "../../src/mount/overlay-options.ts";
import type { OverlayNamespace } from "../../src/overlay/xattr-names.ts";
import { joinHost } from "../../src/paths.ts";
import { canRestoreOwners } from "../../src/privilege.ts";
import type { Scene } from "../conformance/scene.ts";
import { subjectOf as mountedSubjectOf, unmount } from "../conformance/subject.ts";
import { writableNamespace } from "../helpers/tree.ts";
import { KilledServers } from "./crash/killed-server.ts";
import { openKilled } from "./crash/killed-union.ts";
import { UnionCalls } from "./in-process/union-calls.ts";
import { importScene, mountScene } from "./store-subject.ts";
import { SystemCalls } from "./system-calls.ts";
import { type Job, type Ran, work } from "./work.ts";
import { Workers } from "./workers.ts";

export interface Subject {
  /** As in the list of differences. */
  readonly name: string;
  /** How a script mounts it, with %L, %U, %W and %M; null for what is not mounted. */
  readonly command: string | null;
  /** True if its tree is made of layers, so that an upperdir can be looked at. */
  readonly isUnion: boolean;
  /** How many cases are best tried together: mounting is to cost little beside them. */
  readonly batch: number;
  readonly namespace: OverlayNamespace;
  /** Its server is killed in every case. */
  readonly crashes: boolean;
  /** Puts the layers of a scene where the subject keeps its own: the scene with those. */
  readonly prepare?: (scene: Scene) => Promise<Scene>;
  /** The tree of a scene is there, until this is disposed or, with `killAt`, the server killed. */
  open(scene: Scene, sinceMs: number, killAt?: number): Promise<Opened>;
}

export interface Opened extends AsyncDisposable {
  /** Results in the order of the jobs; fewer if the file system did not answer. */
  run(jobs: readonly Job[]): Promise<readonly Ran[]>;
}

const dir: Subject = {
  name: "dir",
  command: null,
  isUnion: false,
  crashes: false,
  batch: 50,
  namespace: writableNamespace,
  async open({ twin }, sinceMs) {
    return {
      run: async (jobs) =>
        jobs.map(({ directory, program }) => work(new SystemCalls(joinHost(twin, directory), sinceMs), program)),
      async [Symbol.asyncDispose]() {},
    };
  },
};

/** A redirect that is a user attribute is followed by no kernel, so without root none are made. */
export const CORE_OPTIONS = `aufs=off${canRestoreOwners() ? ",redirect_dir=on" : ""}`;

/** From the source, so that what is tested is what is being written. */
const OURS = `${process.execPath} ${fileURLToPath(new URL("../../cli/main.ts", import.meta.url))} fuse`;
const FUSE = `-f -o lowerdir=%L,upperdir=%U,workdir=%W,${CORE_OPTIONS} %M`;

/** Our union without a mount, with overlay attributes of one kind. */
function coreWith(namespace: OverlayNamespace, name = "core"): Subject {
  return {
    name,
    command: `${OURS} ${FUSE}`,
    isUnion: true,
    crashes: false,
    batch: 50,
    namespace,
    async open(scene, sinceMs) {
      const union = openUnion(scene, namespace);
      return {
        run: async (jobs) =>
          jobs.map(({ directory, program }) =>
            work(new UnionCalls(union, directory, sinceMs, program.length === 0), program),
          ),
        async [Symbol.asyncDispose]() {
          union[Symbol.dispose]();
        },
      };
    },
  };
}

/** Our union of a scene's layers in this process, with overlay attributes of one kind. */
export function openUnion({ lowerdirs, upperdir, workdir }: Scene, namespace: OverlayNamespace): Union {
  const options = namespace === writableNamespace ? CORE_OPTIONS : "aufs=off,userxattr";
  const layers = `lowerdir=${lowerdirs.join(":")},upperdir=${upperdir},workdir=${workdir}`;
  return new Union(parseFuseOptions(`${layers},${options}`), silentLogger);
}

/** Another union file system, to which the upperdir of `subject` must show the same. */
export function otherThan({ name, namespace }: Subject): Subject {
  if (name === "store" || name.startsWith("kernel")) return coreWith(namespace);
  return kernelWith(namespace === "user" ? "userxattr" : "index=on,metacopy=off,redirect_dir=on");
}

/** Opens a scene with a mount; the programs run in processes of their own. */
async function openMounted(
  scene: Scene,
  sinceMs: number,
  mount: (scene: Scene) => Promise<AsyncDisposable>,
): Promise<Opened> {
  const workers = await Workers.get();
  const mounted = await mount(scene);
  return {
    run: (jobs) => workers.run(scene.target, sinceMs, jobs),
    [Symbol.asyncDispose]: () => mounted[Symbol.asyncDispose](),
  };
}

const KERNEL_DEFAULTS = canRestoreOwners() ? "index=off,metacopy=off,redirect_dir=off" : "userxattr";

/** Kernel overlayfs with the given options. */
function kernelWith(text: string): Subject {
  const options: OverlayOptions = parseOverlayOptions(text);
  return {
    name: `kernel:${text}`,
    command: `mount -t overlay overlay -o ${text},lowerdir=%L,upperdir=%U,workdir=%W %M`,
    isUnion: true,
    crashes: false,
    batch: 50,
    namespace: options.userxattr === true ? "user" : "trusted",
    open: (scene, sinceMs) =>
      openMounted(scene, sinceMs, async ({ lowerdirs, upperdir, workdir, target }) => {
        mountOverlay({ lowerdirs, upperdir, workdir, target, readOnly: false, options });
        return {
          async [Symbol.asyncDispose]() {
            unmount(target);
          },
        };
      }),
  };
}

const store: Subject = {
  name: "store",
  command: "mount -t overlay overlay -o index=on,redirect_dir=on,lowerdir=%L,upperdir=%U,workdir=%W %M",
  isUnion: true,
  crashes: false,
  batch: 50,
  namespace: "trusted",
  prepare: importScene,
  open: (scene, sinceMs) => openMounted(scene, sinceMs, mountScene),
};

/** A program that mounts in user space, by its command line. */
function programOf(name: string, commandLine: string): Subject {
  const mounted = mountedSubjectOf(`${name}=${commandLine}`);
  return {
    name,
    command: commandLine,
    isUnion: true,
    crashes: false,
    batch: 50,
    namespace: writableNamespace,
    open: (scene, sinceMs) => openMounted(scene, sinceMs, (each) => mounted.start(each)),
  };
}

/** What the kernel can be asked for, one way each: the options that exclude each other are not together. */
export const KERNELS: readonly string[] = canRestoreOwners()
  ? [
      "index=off,metacopy=off,redirect_dir=off",
      "index=on,metacopy=off,redirect_dir=off",
      "index=off,metacopy=off,redirect_dir=on",
      "index=on,metacopy=off,redirect_dir=on",
      "index=off,metacopy=on,redirect_dir=on",
      "index=on,metacopy=on,redirect_dir=on",
      "userxattr",
    ]
  : ["userxattr"];

/**
 * The same subject, killed in every case. `directory`: for what that takes.
 * @throws {UsageError} if it is not ours, in this process or over FUSE
 */
export function crashing(subject: Subject, directory: string): Subject {
  const crashes = { ...subject, crashes: true };
  const { name, namespace } = subject;
  if (name === "core" || name === "core-user")
    return { ...crashes, open: (scene, ms, killAt = 0) => openKilled(scene, namespace, ms, killAt) };
  if (name !== "fuse" && name !== "fuse-user") {
    throw new UsageError("ERR_USAGE", `Cannot kill "${name}": only what is ours is killed, and the kernel is not`);
  }
  const servers = new KilledServers(directory);
  return {
    ...crashes,
    batch: 5,
    open: (scene, sinceMs, killAt = 0) => servers.open(scene, sinceMs, CORE_OPTIONS, killAt),
  };
}

/** The subjects that are no command lines. */
export const WITHOUT_COMMAND = /^(dir|core|core-user|store|kernel|kernel:.*|fuse|fuse-user|fuse-native)$/;

/**
 * "dir" a plain directory with the merged tree; "core" our union without a mount; "kernel" or "kernel:OPTIONS"; "store" a
 * snapshot of an image of our own; "fuse" ours, mounted; "core-user" and "fuse-user" the same (the runner makes the user
 * namespace); "fuse-native" ours through libfuse; or a command line, with "NAME=" before it if the list of differences has
 * another name than the program's. @throws {UsageError} `ERR_MOUNT_OPTION`
 */
export function subjectOf(text: string): Subject {
  if (text === "dir") return dir;
  if (text === "core" || text === "core-user") return coreWith(writableNamespace, text);
  if (text === "store") return store;
  if (text === "kernel") return kernelWith(KERNEL_DEFAULTS);
  if (text.startsWith("kernel:")) return kernelWith(text.slice("kernel:".length));
  if (text === "fuse" || text === "fuse-user") return programOf(text, `${OURS} ${FUSE}`);
  if (text === "fuse-native") return programOf(text, `${OURS} --transport fuse-native ${FUSE}`);
  const [, name, commandLine = text] = /^([a-z][a-z0-9-]*)=(.*)$/s.exec(text) ?? [];
  return programOf(name ?? (commandLine.split(" ")[0] ?? "").replace(/.*\//, ""), commandLine);
}
