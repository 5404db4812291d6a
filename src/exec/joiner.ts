/**
 * The process that joins a container (dist/joiner.cjs), for "exec". Its order is what keeps the container out of it:
 *
 * 1. It joins every namespace while no process of the container can see it: for the pid namespace counts only for children.
 * 2. It gives up all that the command is not to have, and lets nobody look into its memory.
 * 3. It forks. Only the child is in the container's pid namespace, and it has nothing more than the container has: a process
 *    there that may trace others (--cap-add SYS_PTRACE) gains nothing by it.
 * 4. The child becomes the command. Until then its program is the host's node, from a mount that cannot be written to, so that
 *    who opens its /proc/PID/exe cannot overwrite it (CVE-2019-5736).
 *
 * That node cannot join a user or time namespace, since it has threads: nsenter(1) does that before it starts.
 */

import { readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { isSystemError } from "../errors.ts";
import {
  become,
  beginSession,
  dieWithParent,
  dropPrivileges,
  hideMemory,
  resetSignals,
  type StringVector,
  stringVector,
  useAsStandard,
} from "../sys/become.ts";
import { waitForChild } from "../sys/children.ts";
import { keepDescriptorsToOurselves } from "../sys/descriptors.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt, openInRoot } from "../sys/file.ts";
import { exitNow, forker } from "../sys/fork.ts";
import { leaveSessionKeyring } from "../sys/keyring.ts";
import { setProcessLimit } from "../sys/limits.ts";
import { changeDirectory, joinNamespace } from "../sys/namespaces.ts";
import {
  FIRST_NAMESPACE_FD,
  GO,
  type JoinFailure,
  type JoinTask,
  READY,
  SOCKET_FD,
  STANDARD_FDS,
} from "./join-protocol.ts";

const FAILED = 125;
const SEGMENTATION_FAULT = 128 + constants.signals.SIGSEGV;
const TURNS = 5;
/** prlimit(2): this process. */
const OWN = 0;
const { ENOENT, ENOTDIR, EACCES } = constants.errno;

/** The program to become, made ready while there is time. */
interface Program {
  readonly paths: readonly Buffer[];
  readonly args: StringVector;
  readonly env: StringVector;
}

function run(): void {
  try {
    const task = JSON.parse(readLine()) as JoinTask;
    const program = {
      paths: task.paths.map((path) => Buffer.from(`${path}\0`, "latin1")),
      args: stringVector(task.args),
      env: stringVector(task.env),
    };
    const fork = forker();
    enter(task);
    for (const { type, soft, hard } of task.rlimits) setProcessLimit(OWN, type, soft, hard);
    leaveSessionKeyring();
    dropPrivileges(task);
    hideMemory();
    forkChild(fork, () => runChild(task, program));
  } catch (error) {
    fail(error);
  }
}

/** Whoever started this process ends it when it has seen the child: what comes back has failed. */
function forkChild(fork: () => number, work: () => void): void {
  for (let turn = 1; ; turn++) {
    const child = fork();
    if (child === 0) work();
    const code = waitForChild(child);
    if (code !== SEGMENTATION_FAULT || turn === TURNS) throw new Error(`its process ended early, with ${code}`);
  }
}

function enter({ namespaces, cwd }: JoinTask): void {
  for (const [at, name] of namespaces.entries()) joinNamespace(name, FIRST_NAMESPACE_FD + at);
  for (const at of namespaces.keys()) close(FIRST_NAMESPACE_FD + at);
  const root = openAt(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
  const directory = openInRoot(root, cwd, O_PATH | O_DIRECTORY); // no link of /proc leads it to what is open here
  changeDirectory(directory);
  close(directory);
  close(root);
}

function runChild({ terminal, dies }: JoinTask, { paths, args, env }: Program): void {
  try {
    const [input, output, errors] = STANDARD_FDS;
    beginSession(terminal ? input : null);
    useAsStandard(input, output, errors);
    say(READY);
    if (readLine() !== GO.trim()) exitNow(FAILED);
    if (dies) dieWithParent(constants.signals.SIGKILL);
    keepDescriptorsToOurselves();
    resetSignals();
    let errno: number = ENOENT;
    for (const path of paths) {
      const failed = become(path, args, env);
      if (failed === EACCES || errno === ENOENT) errno = failed; // as execvp(3): a file that may not be run counts more
      if (failed !== ENOENT && failed !== ENOTDIR && failed !== EACCES) break;
    }
    say(`${JSON.stringify({ call: "execve", errno } satisfies JoinFailure)}\n`);
  } catch (error) {
    fail(error);
  }
  exitNow(FAILED);
}

function fail(error: unknown): void {
  const failure = isSystemError(error)
    ? { call: error.syscall ?? "", errno: -error.errno }
    : { call: error instanceof Error ? error.message : "", errno: 0 };
  say(`${JSON.stringify(failure satisfies JoinFailure)}\n`);
  exitNow(FAILED);
}

function say(line: string): void {
  writeSync(SOCKET_FD, line);
}

/** The next line, without its end; what there is at the end of the socket. */
function readLine(): string {
  const pieces: Buffer[] = [];
  for (;;) {
    const piece = Buffer.alloc(64 * 1024);
    const size = readSync(SOCKET_FD, piece);
    const end = piece.subarray(0, size).indexOf("\n");
    pieces.push(piece.subarray(0, end < 0 ? size : end));
    if (size === 0 || end >= 0) return Buffer.concat(pieces).toString("latin1");
  }
}

run();
