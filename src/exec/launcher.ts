/**
 * Starts a container without a runtime: unshare(1) makes the namespaces, setsid(1) and setpriv(1) take from its first process
 * what it is not to have, and a shell waits. All of these are host programs, so they come before the root changes; what
 * needs the host's view (mounts, devices, the host's name) is then done from outside, by this thread in their namespaces.
 * Last, pivot_root(2) changes the root of the shell too, which executes the command: the chain is one process.
 *
 * Invariant: until the command runs, the death of either side ends both, and the kernel takes all that was made.
 */

import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { ConflictError, isErrno, UnsupportedError } from "../errors.ts";
import { rootOf } from "../mount/id-mapping.ts";
import { type HostPath, hostPath } from "../paths.ts";
import { keepDescriptorsToOurselves } from "../sys/descriptors.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, O_RDONLY, openAt } from "../sys/file.ts";
import { asFileOwner } from "../sys/file-owner.ts";
import { leaveSessionKeyring } from "../sys/keyring.ts";
import { setProcessLimit } from "../sys/limits.ts";
import { raiseLink } from "../sys/links.ts";
import { MS_BIND, mount } from "../sys/mount.ts";
import { inNamespaces, setHostname, type ThreadNamespace } from "../sys/namespaces.ts";
import { setWindowSize } from "../sys/terminal.ts";
import { addToCgroup, makeCgroup, removeCgroup } from "./cgroup/cgroup.ts";
import type { Cgroup } from "./cgroup/group.ts";
import { chainOf, environmentOfChain, goAhead } from "./chain.ts";
import { checkCommand } from "./command.ts";
import { enterRootfs, mountRootfs } from "./rootfs.ts";
import { idMappingsOf, type RuntimeSpec } from "./runtime-spec.ts";
import { sendSignal } from "./signal.ts";
import { openTerminal } from "./terminal.ts";
import { makeWorkdir } from "./workdir.ts";

/** Where the chain finds its end of the socket, and the container's standard error: its own is for the launcher. */
const SOCKET_FD = 3;
const EXIT_FAILURE = 1;

export interface LaunchOptions {
  /** For standard input, output and error: descriptors, or nothing; with a terminal the container has that instead. */
  readonly stdio: readonly [number | "ignore", number | "ignore", number | "ignore"];
  /** Of the terminal from its beginning (`windowSizeOf`). */
  readonly windowSize?: Buffer | null;
  /** The container's, open, if it has one; the caller closes it. */
  readonly userNamespace?: number;
  /** Does what is to be done to the container's own network namespace, which is open. */
  readonly connect?: (namespaceFd: number) => Promise<void>;
}

/** A container that runs. */
export interface Running {
  /** Its first process, as the host numbers it. */
  readonly init: number;
  /** How it ended: as a shell says it, 128 and the signal's number for one that a signal killed. */
  readonly exitCode: Promise<number>;
  /** The master of the container's terminal, if it has one. Whoever takes it closes it. */
  readonly terminal: number | null;
}

/**
 * The command runs when this settles. `spec.root.path` is a mount point. If it fails, nothing is left.
 * @throws {NotFoundError} `ERR_COMMAND_NOT_FOUND`
 * @throws {ConflictError} `ERR_COMMAND_NOT_EXECUTABLE`; `ERR_LAUNCH` if the chain ended early, which it says on stderr
 * @throws as `makeCgroup`, `makeWorkdir`
 * @throws {UnsupportedError} `ERR_NO_LAUNCHER` without util-linux, `ERR_ENVIRONMENT_NAME`, `ERR_KERNEL_TOO_OLD`
 * @throws PosixError
 */
export async function launch(spec: RuntimeSpec, options: LaunchOptions): Promise<Running> {
  const path = hostPath(spec.root.path);
  const namespace = options.userNamespace === undefined ? null : `/proc/${process.pid}/fd/${options.userNamespace}`;
  const chain = chainOf(spec, namespace);
  keepDescriptorsToOurselves();
  leaveSessionKeyring(); // the container would have the caller's keys, and could read them
  const [input, output, errors] = options.stdio;
  const child = spawn(chain[0] ?? "", chain.slice(1), {
    stdio: [input, output, "pipe", "pipe", errors] as StdioOptions,
    env: environmentOfChain(spec.process),
    cwd: "/",
    detached: true,
  });
  const words = wordsOf(child.stderr);
  const ended = endOf(child, words);
  const socket = child.stdio[SOCKET_FD] as Socket;
  let init: number | undefined;
  let cgroup: Cgroup | null = null;
  let joined: Promise<void> | undefined;
  let terminal: number | null = null;
  try {
    const waiter = await started(child);
    cgroup = await makeCgroup(spec.linux.cgroupsPath.replace(/^\//, ""), spec.linux.resources, waiter);
    await goOn(socket, ended, words);
    init = onlyChildOf(waiter);
    joined = cgroup === null ? Promise.resolve() : addToCgroup(cgroup, init);
    joined.catch(() => {}); // it is awaited below, if nothing fails before
    for (const { type, soft, hard } of spec.process.rlimits) setProcessLimit(init, type, soft, hard);
    if (options.connect !== undefined) await connectNetwork(init, options.connect);
    terminal = furnish(spec, path, init, cgroup);
    if (terminal !== null && options.windowSize != null) setWindowSize(terminal, options.windowSize);
    await joined.catch(async (error) => {
      throw isErrno(error, "ESRCH") ? chainEnded(await ended, words()) : error;
    });
    await goOn(socket, ended, words);
    inNamespaces(init, ["mnt"], () => withRoot(path, (root) => enterRootfs(root, spec.root.readonly)));
    socket.end(goAhead(spec));
    return { init, exitCode: ended, terminal };
  } catch (error) {
    if (child.pid !== undefined) sendSignal(init ?? child.pid, "SIGKILL"); // the waiter ends after it, so that both are gone
    if (terminal !== null) close(terminal);
    await ended.catch(() => {});
    await joined?.catch(() => {});
    if (cgroup !== null) removeCgroup(cgroup);
    throw translate(error, spec);
  }
}

async function connectNetwork(init: number, connect: (namespaceFd: number) => Promise<void>): Promise<void> {
  const fd = openAt(AT_FDCWD, hostPath(`/proc/${init}/ns/net`), O_RDONLY);
  try {
    await connect(fd);
  } finally {
    close(fd);
  }
}

/** What is done in the waiting namespaces before the root changes; the descriptor of the terminal's master, if there is to be one. */
function furnish(spec: RuntimeSpec, path: HostPath, init: number, cgroup: Cgroup | null): number | null {
  const has = new Set(spec.linux.namespaces.map(({ type }) => type));
  const isNew = new Set(spec.linux.namespaces.filter((each) => each.path === undefined).map(({ type }) => type));
  const mappings = idMappingsOf(spec);
  const joined: ThreadNamespace[] = [];
  if (has.has("network")) joined.push("net");
  if (has.has("ipc")) joined.push("ipc");
  if (has.has("uts")) joined.push("uts");
  return inNamespaces(init, [...joined, "mnt"], () => {
    if (isNew.has("network")) raiseLink("lo");
    if (isNew.has("uts") && spec.hostname !== undefined) setHostname(spec.hostname);
    if (mappings === null) return withRoot(path, (root) => furnishTree(spec, root, cgroup));
    mount(path, path, "", MS_BIND, ""); // what was mounted before the namespace was can be nobody's root in it
    const { uid, gid } = rootOf(mappings);
    return asFileOwner(uid, gid, () => withRoot(path, (root) => furnishTree(spec, root, cgroup)));
  });
}

/** The descriptor of the terminal's master, if there is to be one. */
function furnishTree(spec: RuntimeSpec, root: number, cgroup: Cgroup | null): number | null {
  mountRootfs(spec, root, cgroup);
  makeWorkdir(root, spec.process.cwd);
  checkCommand(root, spec.process.args[0] ?? "", spec.process.cwd, spec.process.env);
  return spec.process.terminal ? openTerminal(root, spec) : null;
}

function withRoot<Result>(path: HostPath, work: (root: number) => Result): Result {
  const root = openAt(AT_FDCWD, path, O_PATH | O_DIRECTORY);
  try {
    return work(root);
  } finally {
    close(root);
  }
}

/** The process id of a child that could be started. @throws a system error */
function started(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => resolve(child.pid ?? 0));
  });
}

/** Lets the shell that waits go on; the one that waits next is loaded when this settles. */
function goOn(socket: Socket, ended: Promise<number>, words: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("data", () => resolve());
    socket.on("error", () => {}); // its end says more
    ended.then((code) => reject(chainEnded(code, words())), reject);
    socket.write("go\n");
  });
}

function chainEnded(exitCode: number, words: string): ConflictError {
  const said = words === "" ? `the launcher ended with ${exitCode}` : words;
  return new ConflictError("ERR_LAUNCH", `Cannot start the container: ${said}`, { data: { exitCode } });
}

const MOST_WORDS = 1_000;

/** What a stream has said so far, on one line. */
function wordsOf(stream: Readable | null): () => string {
  let text = "";
  stream?.on("data", (bytes: Buffer) => {
    if (text.length < MOST_WORDS) text += bytes.toString();
  });
  return () => text.trim().replace(/\s*\n\s*/g, "; ");
}

/** unshare(1) 2.38 cannot end as its child did where that was SIGKILL: it complains, and nothing else makes it speak. */
async function endOf(child: ChildProcess, words: () => string): Promise<number> {
  const code = await exitOf(child);
  const isKilled = code === EXIT_FAILURE && words() !== "" && words().startsWith("unshare:");
  return isKilled ? 128 + process.getBuiltinModule("node:os").constants.signals.SIGKILL : code;
}

/** The exit code of a child, when it has ended; 128 and the number of the signal that killed it. */
export function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(exitCodeOf(code, signal)));
  });
}

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  const { signals } = process.getBuiltinModule("node:os").constants;
  return code ?? 128 + (signal === null ? 0 : signals[signal]);
}

function onlyChildOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ");
  return Number(child);
}

function translate(error: unknown, { root }: RuntimeSpec): unknown {
  if (!isErrno(error, "ENOSYS")) return error;
  const message = `Cannot make the root "${root.path}": the kernel is older than Linux 5.12; use --runtime crun or runc`;
  return new UnsupportedError("ERR_KERNEL_TOO_OLD", message, { cause: error });
}
