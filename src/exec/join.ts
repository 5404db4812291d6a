/**
 * Starts a command in a container that runs already. A process of ours, which no process of the container can see, joins it
 * and gives up what the command is not to have; its child, which becomes the command, comes to us when it ends (joiner.ts).
 * Meanwhile the child waits, so that it is in the container's cgroup before it is the command.
 */

import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ConflictError, errnoName, NotFoundError, PosixError } from "../errors.ts";
import { display, hostPath } from "../paths.ts";
import { adoptOrphans, untilChildEnds } from "../sys/children.ts";
import { keepDescriptorsToOurselves } from "../sys/descriptors.ts";
import { close } from "../sys/file.ts";
import { FORKABLE } from "../sys/fork.ts";
import { inReadOnlyCopy, type JoinableNamespace } from "../sys/namespaces.ts";
import { setWindowSize } from "../sys/terminal.ts";
import { capabilityNumber } from "./capabilities.ts";
import { addToCgroup } from "./cgroup/cgroup.ts";
import type { Cgroup } from "./cgroup/group.ts";
import { candidatesFor, checkCommand } from "./command.ts";
import { program } from "./host-program.ts";
import { GO, type JoinFailure, type JoinTask, READY } from "./join-protocol.ts";
import type { LaunchOptions, Running } from "./launcher.ts";
import { idsOf, type RunningRoot } from "./running-root.ts";
import type { ProcessSpec } from "./runtime-spec.ts";
import { sendSignal } from "./signal.ts";
import { openAnotherTerminal } from "./terminal.ts";
import { checkWorkdir } from "./workdir.ts";

/** The bundle has it beside it; a checkout runs the source. */
const JOINER = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./joiner.ts" : "./joiner.cjs", import.meta.url),
);

export interface JoinOptions extends LaunchOptions {
  /** It outlives this process. Its exit code comes to nobody. */
  readonly detached: boolean;
}

/**
 * The command runs when this settles, with the container's terminal of its own if `task` wants one.
 * @throws {NotFoundError} `ERR_COMMAND_NOT_FOUND`
 * @throws {ConflictError} `ERR_COMMAND_NOT_EXECUTABLE`; `ERR_LAUNCH` if the container ended meanwhile
 * @throws as `checkWorkdir`
 */
export async function join(
  container: RunningRoot,
  cgroup: Cgroup | null,
  task: ProcessSpec,
  options: JoinOptions,
): Promise<Running> {
  const command = task.args[0] ?? "";
  checkWorkdir(container.root, task.cwd);
  checkCommand(container.root, command, task.cwd, task.env);
  if (!options.detached) adoptOrphans();
  const terminal = task.terminal ? openAnotherTerminal(container.root, task.user, idsOf(container)) : null;
  if (terminal !== null && options.windowSize != null) setWindowSize(terminal.master, options.windowSize);
  const joiner = startJoiner(
    container,
    terminal === null ? options.stdio : [terminal.slave, terminal.slave, terminal.slave],
  );
  let child = 0;
  try {
    const socket = joiner.stdio[3] as Socket;
    const lines = linesOf(socket);
    socket.write(`${JSON.stringify(taskOf(container, task, options))}\n`);
    refuse(await lines.next(), READY.trim(), command);
    child = onlyChildOf(joiner.pid ?? 0);
    const joined = cgroup === null ? undefined : addToCgroup(cgroup, child);
    await Promise.all([joined, ended(joiner)]); // the child is ours now
    socket.write(GO);
    refuse(await lines.next(), null, command);
    socket.destroy();
    const exitCode = options.detached ? Promise.resolve(0) : untilChildEnds(child);
    return { init: child, exitCode, terminal: terminal?.master ?? null };
  } catch (error) {
    joiner.kill("SIGKILL");
    if (child > 0) sendSignal(child, "SIGKILL");
    if (terminal !== null) close(terminal.master);
    throw error;
  } finally {
    if (terminal !== null) close(terminal.slave);
  }
}

function startJoiner({ namespaces }: RunningRoot, stdio: LaunchOptions["stdio"]): ChildProcess {
  const [before, after] = [namespaces.filter(isForNsenter), namespaces.filter((each) => !isForNsenter(each))];
  const first = 7 + after.length;
  const options = before.map(({ name }, at) => `--${name}=/proc/self/fd/${first + at}`);
  const own = [process.execPath, ...FORKABLE, JOINER];
  const [file = "", ...args] = before.length === 0 ? own : [program("nsenter"), ...options, "--", ...own];
  keepDescriptorsToOurselves();
  const fds = [...after, ...before].map(({ fd }) => fd);
  const nothing = openSync("/dev/null", "r+");
  const standard = stdio.map((fd) => (fd === "ignore" ? nothing : fd)); // behind the third, spawn opens nothing for "ignore"
  try {
    return inReadOnlyCopy(() =>
      spawn(file, args, {
        stdio: ["ignore", "ignore", "inherit", "pipe", ...standard, ...fds] as StdioOptions,
        env: {},
        cwd: "/",
        detached: true,
      }),
    );
  } finally {
    closeSync(nothing);
  }
}

function isForNsenter({ name }: { readonly name: string }): boolean {
  return name === "user" || name === "time";
}

function taskOf({ namespaces }: RunningRoot, task: ProcessSpec, { detached }: JoinOptions): JoinTask {
  const { user, cwd, args, env, capabilities, noNewPrivileges, rlimits, terminal } = task;
  return {
    namespaces: namespaces.filter((each) => !isForNsenter(each)).map(({ name }) => name as JoinableNamespace),
    ...user,
    bounding: capabilities.bounding.map(capabilityNumber),
    noNewPrivileges,
    rlimits,
    cwd: hostPath(cwd),
    paths: candidatesFor(args[0] ?? "", cwd, env),
    args: args.map(hostPath),
    env: env.map(hostPath),
    terminal,
    dies: !detached && !terminal, // a terminal hangs up instead
  };
}

async function* linesOf(socket: Socket): AsyncGenerator<string, null> {
  socket.on("error", () => {}); // its end says more
  yield* createInterface({ input: socket });
  return null;
}

/** `wanted`: null for the end of the socket, which is when the command runs. */
function refuse({ value }: IteratorResult<string, null>, wanted: string | null, command: string): void {
  if (value === wanted) return;
  const name = display(hostPath(command));
  const { call, errno } = failureOf(value);
  const { ENOENT, ENOTDIR, EACCES, ENOEXEC, ENOMEM } = constants.errno;
  const data = { command };
  if (call === "execve") {
    if (errno === ENOENT || errno === ENOTDIR) {
      throw new NotFoundError("ERR_COMMAND_NOT_FOUND", `Cannot run "${name}": there is no such file`, { data });
    }
    const why =
      errno === EACCES ? "this user may not execute it" : errno === ENOEXEC ? "it is no program" : errnoName(errno);
    throw new ConflictError("ERR_COMMAND_NOT_EXECUTABLE", `Cannot run "${name}": ${why}`, { data });
  }
  const isOver = call === "" || (call === "fork" && errno === ENOMEM); // of a namespace without a first process (pid_namespaces(7))
  if (errno > 0 && !isOver) throw new PosixError(errno, call);
  const state = isOver ? "the container ended meanwhile" : call;
  throw new ConflictError("ERR_LAUNCH", `Cannot run "${name}" in the container: ${state}`, { data });
}

/** The other side may be anybody's by now: what is no failure as we write it is one without a reason. */
function failureOf(line: string | null): JoinFailure {
  try {
    const { call, errno } = JSON.parse(line ?? "{}") as Partial<JoinFailure>;
    return { call: String(call ?? ""), errno: Number.isInteger(errno) ? Number(errno) : 0 };
  } catch {
    return { call: "", errno: 0 };
  }
}

function ended(joiner: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    joiner.on("exit", () => resolve());
    joiner.kill("SIGKILL");
  });
}

/** The kernel's word for it, not the child's. @throws {ConflictError} `ERR_LAUNCH` if it has ended */
function onlyChildOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ");
  if (Number(child) > 0) return Number(child);
  throw new ConflictError("ERR_LAUNCH", "Cannot run a command in the container: it ended meanwhile");
}
