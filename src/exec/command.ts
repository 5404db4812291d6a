/**
 * The command of a container, looked for as execvp(3) would in its root. What cannot be executed is refused before anything
 * starts, and so is what leads to a file of the host through a magic link of /proc: the launcher is still one of the
 * host's programs when it executes the command, and /proc/self/exe would be it.
 */

import { readSync } from "node:fs";
import { ConflictError, isErrno, isSystemError, NotFoundError } from "../errors.ts";
import { bytesFromText, display, hostPath } from "../paths.ts";
import { close, O_NONBLOCK, O_PATH, O_RDONLY, openInRoot, S_IFMT, S_IFREG } from "../sys/file.ts";
import { statAt } from "../sys/stat.ts";

/** docker's where neither the image nor the user gives one. */
export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const HEAD_BYTES = 256;
/** How many interpreters the kernel goes through (binfmt_script.c). */
const MOST_INTERPRETERS = 5;

/**
 * Makes sure that `command` can be executed in the tree whose root is open as `root`, by who works in `cwd` (absolute).
 * @throws {NotFoundError} `ERR_COMMAND_NOT_FOUND`
 * @throws {ConflictError} `ERR_COMMAND_NOT_EXECUTABLE`
 */
export function checkCommand(root: number, command: string, cwd: string, env: readonly string[]): void {
  const name = hostPath(command) as string;
  const candidates = candidatesFor(command, cwd, env);
  let denied: string | null = null;
  for (const candidate of candidates) {
    const state = stateOf(root, candidate, 0);
    if (state === null) return;
    if (state !== "absent") denied ??= state;
    if (name.includes("/") && denied !== null) break;
  }
  const data = { command };
  if (denied !== null) {
    throw new ConflictError("ERR_COMMAND_NOT_EXECUTABLE", `Cannot run "${display(name)}": ${denied}`, { data });
  }
  const where = name.includes("/")
    ? "there is no such file in the image"
    : `it is in no directory of PATH (${searchedIn(env)})`;
  throw new NotFoundError("ERR_COMMAND_NOT_FOUND", `Cannot run "${display(name)}": ${where}`, { data });
}

/** The absolute paths that `command` may mean, in turn; byte strings. */
export function candidatesFor(command: string, cwd: string, env: readonly string[]): readonly string[] {
  const name = hostPath(command) as string;
  const directory = hostPath(cwd);
  if (name === "") return [];
  if (name.includes("/")) return [name.startsWith("/") ? name : `${directory}/${name}`];
  return hostPath(searchedIn(env))
    .split(":")
    .map((each) => `${each === "" ? directory : each.startsWith("/") ? each : `${directory}/${each}`}/${name}`);
}

function searchedIn(env: readonly string[]): string {
  return env.findLast((each) => each.startsWith("PATH="))?.slice("PATH=".length) ?? DEFAULT_PATH;
}

/** null if it can be executed, "absent" if it is not there, else what is against it. */
function stateOf(root: number, path: string, depth: number): string | null {
  if (depth >= MOST_INTERPRETERS) return "it is interpreted by too many scripts in turn";
  let fd: number;
  try {
    fd = openInRoot(root, path, O_PATH);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return "absent";
    if (isErrno(error, "ELOOP")) return "it is a symbolic link in a circle, or one of /proc that leads out";
    if (isSystemError(error)) return error.code;
    throw error;
  }
  try {
    const { mode } = statAt(fd, null);
    if ((mode & S_IFMT) !== S_IFREG) return "it is not a file";
    if ((mode & 0o111) === 0) return "it is not executable";
  } finally {
    close(fd);
  }
  const interpreter = interpreterOf(root, path);
  if (interpreter === null) return null;
  const state = stateOf(root, interpreter, depth + 1);
  return state === "absent" ? `its interpreter "${display(interpreter)}" is not in the image` : state;
}

/** What a "#!" line names; null for other files. */
function interpreterOf(root: number, path: string): string | null {
  const fd = openInRoot(root, path, O_RDONLY | O_NONBLOCK);
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    const text = head.toString("latin1", 0, readSync(fd, head));
    return /^#![ \t]*([^ \t\n\0]+)/.exec(text)?.[1] ?? null;
  } finally {
    close(fd);
  }
}

/** True if a shell can hold this variable: others reach a program only past the shell. */
export function isShellName(variable: string): boolean {
  return /^[a-zA-Z_][a-zA-Z0-9_]*=/.test(bytesFromText(variable));
}
