/**
 * Another runtime instead of our launcher: a bundle (runtime-spec, bundle.md) and the command line that runc and crun share
 * (runtime-tools, command-line-interface.md).
 */

import { spawn, spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConflictError, NotFoundError } from "../errors.ts";
import { bytesOf, type HostPath, hostPath, joinHost } from "../paths.ts";
import { keepDescriptorsToOurselves } from "../sys/descriptors.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../sys/file.ts";
import { makeCgroup } from "./cgroup/cgroup.ts";
import { findHierarchies } from "./cgroup/hierarchies.ts";
import { placeOf } from "./cgroup/place.ts";
import { checkCommand } from "./command.ts";
import { exitOf, type LaunchOptions, type Running } from "./launcher.ts";
import { idMappingsOf, type LinuxSpec, type Mount, type ProcessSpec, type RuntimeSpec } from "./runtime-spec.ts";
import { checkWorkdir } from "./workdir.ts";

/** As a runtime reads it: without a group, what is said of one is left out. */
type Bundled = Omit<RuntimeSpec, "linux"> & { readonly linux: Omit<LinuxSpec, "cgroupsPath" | "resources"> };

/** Writes config.json into `directory`, which is made. @throws a system error */
export function writeBundle(directory: HostPath, spec: Bundled): void {
  mkdirSync(bytesOf(directory), { recursive: true, mode: 0o700 });
  writeFileSync(bytesOf(joinHost(directory, "config.json")), `${JSON.stringify(spec, null, 2)}\n`, { mode: 0o600 });
}

/** The path of the runtime that `name` means. @throws {NotFoundError} `ERR_RUNTIME_NOT_FOUND` */
export function findRuntime(name: string): string {
  const directories = [...(process.env.PATH ?? "").split(delimiter), "/usr/bin", "/usr/sbin", "/bin", "/sbin"];
  const candidates = name.includes("/") ? [name] : directories.map((directory) => join(directory, name));
  const path = candidates.find(isExecutable);
  if (path !== undefined) return path;
  const message = `Cannot use runtime "${name}": there is no such program; install it, or leave --runtime away`;
  throw new NotFoundError("ERR_RUNTIME_NOT_FOUND", message, { data: { runtime: name } });
}

function isExecutable(path: string): boolean {
  return isAllowed(path, constants.X_OK);
}

function isWritable(path: string): boolean {
  return isAllowed(path, constants.W_OK);
}

function isAllowed(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/**
 * As `launch`, by the runtime at `runtime`, which keeps its state in `directory`; a terminal is its own work.
 * @throws {NotFoundError} `ERR_COMMAND_NOT_FOUND`
 * @throws {ConflictError} `ERR_COMMAND_NOT_EXECUTABLE`; `ERR_LAUNCH` if the runtime started nothing, and said why on stderr
 */
export async function runWithRuntime(
  runtime: string,
  spec: RuntimeSpec,
  directory: HostPath,
  { stdio }: LaunchOptions,
): Promise<Running> {
  checkInImage(spec);
  const isMapped = idMappingsOf(spec) !== null;
  const hasGroup = await canHaveGroup(spec);
  const described = hasGroup ? spec : withoutGroup(spec);
  writeBundle(directory, isMapped ? { ...described, root: { ...spec.root, path: stagedRoot() } } : described);
  const bundle = bytesOf(directory).toString();
  const pidFile = join(bundle, "pid");
  const id = `layerctl-${process.pid}-${Math.random().toString(16).slice(2)}`;
  const state = ["--root", join(bundle, "runtime")];
  const command = forHost(runtime, isMapped ? spec.root.path : null);
  const args = [
    ...command.slice(1),
    ...state,
    ...managerOf(runtime, spec, hasGroup),
    "run",
    "--bundle",
    bundle,
    "--pid-file",
    pidFile,
    id,
  ];
  keepDescriptorsToOurselves();
  const child = spawn(command[0] ?? runtime, args, { stdio: [...stdio], detached: !spec.process.terminal, cwd: "/" });
  const ended = exitOf(child);
  const init = await initOf(pidFile, ended);
  const exitCode = ended.finally(() => {
    spawnSync(runtime, [...state, "delete", "--force", id], { stdio: "ignore" }); // one that failed halfway leaves its state
    rmSync(pidFile, { force: true });
  });
  if (init !== null) return { init, exitCode, terminal: null };
  const message = `Cannot start the container: "${runtime}" ended with ${await exitCode}; what it said is above`;
  throw new ConflictError("ERR_LAUNCH", message, { data: { exitCode: await exitCode } });
}

/**
 * As `join`, by the runtime that runs the container, whose state is in `directory` and whose root is open as `root`. A
 * terminal is the runtime's own work.
 * @throws as `join`
 */
export async function execWithRuntime(
  runtime: string,
  directory: HostPath,
  root: number,
  task: ProcessSpec,
  { stdio, detached }: LaunchOptions & { readonly detached: boolean },
): Promise<Running> {
  checkWorkdir(root, task.cwd);
  checkCommand(root, task.args[0] ?? "", task.cwd, task.env);
  const bundle = bytesOf(directory).toString();
  const state = join(bundle, "runtime");
  const [id = ""] = readdirSync(state);
  const file = join(bundle, `exec-${process.pid}-${Math.random().toString(16).slice(2)}`);
  const pidFile = `${file}.pid`;
  writeFileSync(file, JSON.stringify(task), { mode: 0o600, flag: "wx" });
  const command = forHost(runtime, null);
  const wanted = ["--process", file, "--pid-file", pidFile, ...(detached ? ["--detach"] : []), id];
  keepDescriptorsToOurselves();
  const args = [...command.slice(1), "--root", state, "exec", ...wanted];
  const child = spawn(command[0] ?? runtime, args, { stdio: [...stdio], detached: !task.terminal, cwd: "/" });
  const exitCode = exitOf(child);
  try {
    const init = await initOf(pidFile, exitCode);
    if (init !== null) return { init, exitCode, terminal: null };
  } finally {
    for (const each of [file, pidFile]) rmSync(each, { force: true });
  }
  const message = `Cannot run the command: "${runtime}" ended with ${await exitCode}; what it said is above`;
  throw new ConflictError("ERR_LAUNCH", message, { data: { exitCode: await exitCode } });
}

/** The process id that a runtime writes when the command is about to run; null if it ends without one. */
async function initOf(file: string, ended: Promise<number>): Promise<number | null> {
  let isOver = false;
  const end = ended.then(() => {
    isOver = true;
  });
  for (;;) {
    const isLast = isOver; // a command may have ended already
    const pid = existsSync(file) ? Number(readFileSync(file, "latin1")) : 0;
    if (pid > 0) return pid;
    if (isLast) return null;
    await Promise.race([sleep(TURN_MS), end]);
  }
}

const TURN_MS = 3;

const EMPTY_TREE = "/sys/fs/cgroup/unified";

/**
 * Directories that everybody may look into, one of which every host has. The kernel keeps them for mounts: others in /sys may
 * not be covered where a user namespace is to mount its own.
 */
const STAGES = ["/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/fs/fuse/connections"];

function stagedRoot(): string {
  return `${STAGES.find((path) => existsSync(path)) ?? "/mnt"}/rootfs`;
}

/**
 * The command in a mount namespace of its own where it needs one: crun refuses hosts that have the second version's tree
 * beside the first's, and is not to see that one; root of a user namespace may not look into a store, and is to find
 * `rootfs` elsewhere.
 */
function forHost(runtime: string, rootfs: string | null): readonly string[] {
  const isHybrid = existsSync(join(EMPTY_TREE, "cgroup.procs"));
  const hidden = isCrun(runtime) && isHybrid ? [`mount -t tmpfs tmpfs ${EMPTY_TREE}`] : [];
  const place = stagedRoot();
  const staged =
    rootfs === null
      ? []
      : [`mount -t tmpfs -o mode=711 tmpfs ${dirname(place)}`, `mkdir ${place}`, `mount --rbind "$0" ${place}`];
  const steps = [...hidden, ...staged];
  if (steps.length === 0) return [runtime];
  return ["unshare", "--mount", "sh", "-c", `${steps.join(" && ")} && exec "$@"`, rootfs ?? "sh", runtime];
}

function isCrun(runtime: string): boolean {
  return basename(runtime) === "crun";
}

/** False for a user to whom no group was delegated. @throws as `makeCgroup`, if he asks for limits */
async function canHaveGroup({ linux: { cgroupsPath, resources } }: RuntimeSpec): Promise<boolean> {
  if (placeOf(cgroupsPath).scope !== null || findHierarchies().all.some(isWritable)) return true;
  await makeCgroup(cgroupsPath.replace(/^\//, ""), resources, process.pid);
  return false;
}

/** Runtimes do without a group for who is not root and names none; what shows it is not there then, as with our launcher. */
function withoutGroup(spec: RuntimeSpec): Bundled {
  const { cgroupsPath: _path, resources: _resources, ...linux } = spec.linux;
  return { ...spec, mounts: spec.mounts.filter(({ type }) => type !== "cgroup"), linux };
}

function managerOf(runtime: string, { linux }: RuntimeSpec, hasGroup: boolean): readonly string[] {
  if (!hasGroup) return isCrun(runtime) ? ["--cgroup-manager=disabled"] : [];
  return placeOf(linux.cgroupsPath).scope === null ? [] : ["--systemd-cgroup"];
}

/** Runtimes say in words of their own that there is no command. What a volume may hold is for them to find. */
function checkInImage(spec: RuntimeSpec): void {
  const isVolume = ({ type, destination }: Mount): boolean => type === "bind" && !/^\/(?:etc|dev)\//.test(destination);
  if (spec.mounts.some(isVolume)) return;
  const root = openAt(AT_FDCWD, hostPath(spec.root.path), O_PATH | O_DIRECTORY);
  try {
    checkCommand(root, spec.process.args[0] ?? "", spec.process.cwd, spec.process.env);
  } finally {
    close(root);
  }
}
