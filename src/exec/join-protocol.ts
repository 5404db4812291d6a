/** What `join` tells the process that joins a container for it, over the socket that both have. */

import type { JoinableNamespace } from "../sys/namespaces.ts";
import type { Rlimit } from "./runtime-spec.ts";

/** The joining process's descriptors: the socket, and what is to be the command's standard input, output and error. */
export const SOCKET_FD = 3;
export const STANDARD_FDS = [4, 5, 6] as const;
/** Where the namespaces' descriptors begin, in the order of the task. */
export const FIRST_NAMESPACE_FD = 7;

/** One line of JSON. Strings of the command are byte strings. */
export interface JoinTask {
  /** In the order in which they are joined: the mount namespace is the last. */
  readonly namespaces: readonly JoinableNamespace[];
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  /** Numbers of capabilities. */
  readonly bounding: readonly number[];
  readonly noNewPrivileges: boolean;
  readonly rlimits: readonly Rlimit[];
  readonly cwd: string;
  /** Where the command is looked for, in turn. */
  readonly paths: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** The standard descriptors are a terminal, which is to be the command's own. */
  readonly terminal: boolean;
  /** It ends with who started it. */
  readonly dies: boolean;
}

/** The child that is to become the command waits for the next line. */
export const READY = "ready\n";
export const GO = "go\n";

/** What went wrong: the last line before the end of the socket. Its end without one means that the command runs. */
export interface JoinFailure {
  readonly call: string;
  readonly errno: number;
}
