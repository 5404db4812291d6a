/**
 * What a failure becomes: an exit code, and on stderr what was found, its code, and what to do next. The classes and
 * their exit codes are in src/errors.ts; docs/formats.md lists both.
 */

import { existsSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import { isErrno, isSystemError, LayerctlError, type SystemError } from "../src/errors.ts";
import { bytesOf, type HostPath } from "../src/paths.ts";
import { jsonLine, safeText, tell } from "./output.ts";

/** A bug in layerctl: nobody expected this error. */
const EXIT_BUG = 1;
const EXIT_USAGE = 2;
/** The host refused. */
const EXIT_SYSTEM = 7;
/** 128 + SIGPIPE, as a program that the signal kills. */
const EXIT_PIPE = 141;

/** The signals that cancel a command. */
export type CancellingSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Why a command that a signal cancelled ended: the reason of its abort. */
export class Cancelled extends Error {
  readonly exitCode: number;

  constructor(signal: CancellingSignal) {
    super(`cancelled by ${signal}`);
    this.name = "AbortError";
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** How errors are shown. */
export interface Report {
  readonly json: boolean;
  readonly debug: boolean;
  /** The command that failed, if one was chosen. */
  readonly command?: string | undefined;
  /** Its store, if one is known. */
  readonly root?: HostPath | undefined;
  /** The exit code for an error with this code, instead of its class's. */
  readonly exitCodeOf?: ((code: string) => number) | undefined;
}

/** Prints `error` and returns the exit code it stands for; of several that of the first. */
export function reportError(thrown: unknown, report: Report): number {
  if (thrown instanceof AggregateError) return thrown.errors.map((each) => reportError(each, report))[0] ?? EXIT_BUG;
  const error = firstOf(thrown);
  if (error instanceof Cancelled) return error.exitCode; // who sent the signal knows
  if (isErrno(error, "EPIPE") && error.syscall === "write") return EXIT_PIPE; // the reader has what it wanted
  const plain = describe(error, report.command, report.root);
  const described = report.exitCodeOf === undefined ? plain : { ...plain, exitCode: report.exitCodeOf(plain.code) };
  const stack = report.debug && error instanceof Error ? stackOf(error) : undefined;
  tell(report.json ? jsonLine({ error: { ...described, stack } }) : asText(described) + (stack ?? ""));
  return described.exitCode;
}

/** What failed first: a \`using\` that cannot clean up either (the disk is full, the device broken) hides it in its own. */
function firstOf(error: unknown): unknown {
  const isSuppressing = error instanceof Error && error.name === "SuppressedError" && "suppressed" in error;
  return isSuppressing ? firstOf(error.suppressed) : error;
}

/** The error document of `--json`. */
export interface DescribedError {
  readonly class: string;
  readonly code: string;
  readonly exitCode: number;
  readonly message: string;
  readonly next?: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** What is said of an error of `command`, which works on the store at `root`. */
export function describe(error: unknown, command?: string, root?: HostPath): DescribedError {
  const first = firstOf(error);
  const described = classify(first);
  const next = (isSystemError(first) ? hostStep(first, root) : undefined) ?? nextStep(described, command);
  return next === undefined ? described : { ...described, next };
}

function classify(error: unknown): DescribedError {
  if (error instanceof LayerctlError) {
    const { name, code, exitCode, message, data } = error;
    return { class: name, code, exitCode, message, ...(Object.keys(data).length > 0 && { data }) };
  }
  if (isSystemError(error)) {
    const data = error.path === undefined ? {} : { data: { path: error.path } };
    return { class: "SystemError", code: error.code, exitCode: EXIT_SYSTEM, message: refusal(error), ...data };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { class: "Bug", code: "ERR_INTERNAL", exitCode: EXIT_BUG, message };
}

/** A system error in our words: node's put the code first and end with the paths. */
function refusal({ code, errno, syscall = "go on", path }: SystemError): string {
  const object = path === undefined ? "" : ` "${safeText(path)}"`;
  return `Cannot ${syscall}${object}: ${process.getBuiltinModule("node:util").getSystemErrorMap().get(errno)?.[1] ?? code}`;
}

/** What a person can do about it; undefined where the message says it, or nobody knows. */
function nextStep(error: DescribedError, command: string | undefined): string | undefined {
  switch (error.code) {
    case "EMFILE":
      return "raise the limit on open files (ulimit -n)";
    case "ERR_MOUNT_REFUSED":
    case "ERR_MOUNT_PRIVILEGE":
    case "ERR_NO_OVERLAYFS":
      return '"layerctl info" tries what this host and the store\'s file system can do';
    case "ERR_STORE_NOT_FOUND":
      return '"layerctl import" makes one; --root or LAYERCTL_ROOT choose another';
    case "ERR_IMAGE_NOT_FOUND":
      return '"layerctl images" lists the images there are, "layerctl import" brings one in';
    case "ERR_NAME_NOT_FOUND":
      return '"layerctl images" and "layerctl mounts" list the images and snapshots there are';
    case "ERR_SOURCE_FORMAT":
      return '"layerctl import --help" has what can be imported; a directory\'s files: tar -C DIR -c . | layerctl import - --rootfs';
    case "ERR_SNAPSHOT_NOT_FOUND":
      return '"layerctl mounts" lists the snapshots there are';
    case "ERR_INTERNAL":
      return "this is a bug in layerctl: run it again with --debug and report what it prints";
  }
  return error.exitCode === EXIT_USAGE
    ? `see "layerctl ${command === undefined ? "" : `${command} `}--help"`
    : undefined;
}

/** What a person can do where the host refused. What to do in the store is no advice for what is elsewhere. */
function hostStep({ code, path }: SystemError, root: HostPath | undefined): string | undefined {
  const isStore = path === undefined || (root !== undefined && isBelow(path, root));
  const isRoot = process.geteuid?.() === 0;
  switch (code) {
    case "EACCES":
    case "EPERM":
      if (isRoot) return undefined;
      return isStore
        ? "run it as root, or choose a store that is yours with --root"
        : "run it as root, or name another file";
    case "ENOSPC":
    case "EDQUOT": {
      const space = code === "EDQUOT" ? "raise the quota, or free some space" : "free some space there (df, df -i)";
      return isStore ? `${space}: "layerctl gc", "layerctl rm" and "layerctl rmi" work all the same` : space;
    }
    case "EROFS":
      return isStore ? "remount its file system, or choose another store with --root" : "name another place";
    case "EIO":
      return `see what the kernel says of the disk (dmesg)${isStore ? '; "layerctl fsck --deep" tells what is damaged' : ""}`;
  }
  return undefined;
}

/** `path` is text. The store may be named through symbolic links. */
function isBelow(path: string, root: HostPath): boolean {
  const roots = [bytesOf(root), ...(existsSync(bytesOf(root)) ? [realpathSync(bytesOf(root), "buffer")] : [])];
  return roots.map(String).some((each) => path === each || path.startsWith(`${each}/`));
}

function asText(error: DescribedError): string {
  const next = error.next === undefined ? "" : `  Next: ${error.next}\n`;
  return `layerctl: ${error.message} (${error.code})\n${next}`;
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `Caused by: ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}\n${cause}`;
}
