/**
 * The chain of host programs that becomes a container's command, as the arguments of the first. Each replaces the one before
 * it, but for unshare(1), which starts the container's first process and waits for it.
 */

import { existsSync, readFileSync, realpathSync } from "node:fs";
import { basename } from "node:path";
import { UnsupportedError } from "../errors.ts";
import { display, hostPath } from "../paths.ts";
import { setprivName } from "./capabilities.ts";
import { isShellName } from "./command.ts";
import { BASH, program, SHELL } from "./host-program.ts";
import type { LinuxSpec, Namespace, NamespaceType, ProcessSpec, RuntimeSpec } from "./runtime-spec.ts";

/** Of unshare(1) and nsenter(1). */
const OPTION: Readonly<Record<NamespaceType, string>> = {
  mount: "--mount",
  pid: "--pid",
  network: "--net",
  ipc: "--ipc",
  uts: "--uts",
  user: "--user",
  cgroup: "--cgroup",
  time: "--time",
};

/**
 * What the shell does: says that it is loaded, waits until its root has changed, takes its terminal, and becomes the
 * command. The environment is the container's only from here on: a host program must not see its LD_PRELOAD. Behind
 * "read" no redirection is for one command alone, which would take a descriptor that the container's limits may refuse.
 */
const WAIT = `exec 5<&0 0<&3
printf r >&3 && read -r go && [ "$go" = go ] || exit 125
`;
const SCRIPT = `exec 0<&5 2>&4 3>&- 4>&- 5<&-
[ "$1" = - ] || exec 0<>"$1" 1>&0 2>&0
cd -- "$2" || exit 125
shift 2
unset PWD OLDPWD SHLVL _
while [ "$1" != -- ]; do export "$1" || exit 125; shift; done
shift
`;
const BECOME = 'exec "$@"';
/** Of bash(1): its arguments come over the socket, for as long as it lives everybody could read them. */
const READ_ARGUMENTS = `set --
while IFS= read -r -d '' word; do set -- "$@" "$word"; done
`;

/**
 * The shell stays process 1 instead (--init): bash(1) reaps whatever ends, and passes signals on. Others do not do: what they
 * start beside themselves ignores SIGINT for good. What the terminal sends comes to the command anyway.
 */
const REAP = `(trap - INT QUIT; exec "$@") <&0 &
child=$! isTerminal=
[ -t 0 ] && isTerminal=1
pass() { again=1; kill -s "$1" "$child"; }
for name in HUP TERM USR1 USR2 ALRM WINCH CONT TTIN TTOU; do trap "pass $name" "$name"; done
for name in INT QUIT TSTP; do
  if [ -n "$isTerminal" ]; then trap again=1 "$name"; else trap "pass $name" "$name"; fi
done
exec <&- >&- 2>&-
while again= && wait "$child"; code=$?; [ -n "$again" ]; do :; done
exit "$code"`;

/** The head of the chain waits until there is a cgroup: a scope is made around it. With the thread that started it all of it dies. */
const HEAD = 'read -r go <&3 && exec "$@"';

/**
 * The container's first process waits until it is in its cgroup, so that all that follows is, and the cgroup namespace begins
 * there. What waits for its end never is: it is none of the container's.
 */
const JOIN = 'printf r >&3 && read -r go <&3 && [ "$go" = go ] && exec "$@"; exit 125';

/**
 * Where the chain has its /proc, which only a process of the new pid namespace can mount, until it goes to its place: every
 * user may look into this directory, which not everybody may into the store, and nothing of the chain's needs what it hides.
 */
export const PROC_AT = "/sys";

/**
 * The programs and their arguments, with the root's path among them for who looks at a list of processes; to enter the user namespace at the path `userNamespace` too. Descriptor 3 of the first is the launcher's socket, 4 the container's standard error.
 * @throws {UnsupportedError} `ERR_NO_LAUNCHER`, `ERR_ENVIRONMENT_NAME`, `ERR_ARGUMENT_BYTES`
 */
export function chainOf(spec: RuntimeSpec, userNamespace: string | null): readonly string[] {
  const { process: task, linux, mounts, root } = spec;
  const unshared = linux.namespaces.filter(({ type, path }) => path === undefined && type !== "user");
  const hasCgroup = unshared.some(({ type }) => type === "cgroup");
  const hasProc = mounts.some(({ type }) => type === "proc");
  const shell = shellFor(task);
  return [
    ...[shell, "-c", HEAD, textOf(root.path), ...joining(linux.namespaces, userNamespace)],
    ...[program("setpriv"), "--pdeathsig", "KILL", "--"],
    ...[program("unshare"), ...unshared.filter(({ type }) => type !== "cgroup").map(({ type }) => OPTION[type])],
    ...clocks(linux),
    ...[
      "--fork",
      "--kill-child=KILL",
      "--propagation",
      "private",
      ...(hasProc ? [`--mount-proc=${PROC_AT}`] : []),
      "--",
    ],
    ...[shell, "-c", JOIN, textOf(root.path), ...(hasCgroup ? [program("unshare"), OPTION.cgroup, "--"] : [])],
    ...[program("setsid"), "--", program("setpriv"), ...privileges(task), "--"],
    ...(task.hasReaper
      ? [shell, "-c", WAIT + READ_ARGUMENTS + SCRIPT + REAP, "init"]
      : [shell, "-c", WAIT + SCRIPT + BECOME, textOf(root.path), ...scriptArguments(task).map(textOf)]),
  ];
}

function scriptArguments(task: ProcessSpec): readonly string[] {
  return [task.terminal ? "/dev/pts/0" : "-", task.cwd, ...task.env.filter(isShellName), "--", ...task.args];
}

/** What the launcher says when the shell is to go on, with its arguments if it has not got them. */
export function goAhead({ process: task }: RuntimeSpec): string {
  const words = task.hasReaper ? scriptArguments(task).map((word) => `${textOf(word)}\0`) : [];
  return `go\n${words.join("")}`;
}

/** A death signal is forgotten where a user namespace is entered, so this comes before the program that asks for one. */
function joining(namespaces: readonly Namespace[], userNamespace: string | null): readonly string[] {
  const joined = namespaces.filter(({ type, path }) => path !== undefined && type !== "user");
  const options = joined.map(({ type, path = "" }) => `${OPTION[type]}=${path}`);
  if (userNamespace !== null) options.push(`${OPTION.user}=${userNamespace}`);
  return options.length === 0 ? [] : [program("nsenter"), ...options, "--no-fork", "--"];
}

function clocks({ timeOffsets = {} }: LinuxSpec): readonly string[] {
  return Object.entries(timeOffsets).flatMap(([clock, { secs }]) => [`--${clock}`, String(secs)]);
}

function privileges({ user, capabilities, noNewPrivileges }: ProcessSpec): readonly string[] {
  const kept = capabilities.bounding.map((name) => `,+${setprivName(name)}`).join("");
  const groups =
    user.additionalGids.length > 0
      ? ["--groups", user.additionalGids.join(",")]
      : [mayChooseGroups() ? "--clear-groups" : "--keep-groups"];
  return [
    ...["--pdeathsig", "KILL", "--reuid", String(user.uid), "--regid", String(user.gid), ...groups],
    ...["--bounding-set", `-all${kept}`, "--inh-caps", "-all"],
    ...(noNewPrivileges ? ["--no-new-privs"] : []),
  ];
}

/** A user with one id may not: groups that keep him from files could be left that way (user_namespaces(7)). */
function mayChooseGroups(): boolean {
  return !existsSync(SETGROUPS) || readFileSync(SETGROUPS, "latin1").trim() !== "deny";
}

const SETGROUPS = "/proc/self/setgroups";

/**
 * What the host's programs see: nothing of the container's but variables that no shell can hold, which mean nothing to
 * them, and which only bash passes on.
 */
export function environmentOfChain({ env }: ProcessSpec): Record<string, string> {
  const others = env.filter((variable) => !isShellName(variable));
  return Object.fromEntries(others.map((variable) => splitVariable(variable)));
}

function splitVariable(variable: string): readonly [string, string] {
  const equals = variable.indexOf("=", 1);
  return [variable.slice(0, equals), variable.slice(equals + 1)];
}

/** What bash sets itself and lets nobody change. */
const KEPT_BY_BASH = /^(?:UID|EUID|PPID|BASHOPTS|BASH_VERSINFO|SHELLOPTS)=/;

/** The shell that becomes the command: bash passes variables on whose names no shell has, others set what bash keeps. */
function shellFor({ env, hasReaper = false }: ProcessSpec): string {
  const odd = env.find((variable) => !isShellName(variable));
  const kept = env.find((variable) => KEPT_BY_BASH.test(variable));
  const shell = odd === undefined && !hasReaper ? SHELL : BASH;
  const isBash = existsSync(shell) && basename(realpathSync(shell)) === "bash";
  if ((odd === undefined || isBash) && (kept === undefined || !isBash)) return shell;
  const [name] = splitVariable(kept ?? odd ?? "");
  const message = `Cannot pass on variable "${name}": no shell here can; leave it away, or use --runtime crun or runc`;
  throw new UnsupportedError("ERR_ENVIRONMENT_NAME", message, { data: { variable: name } });
}

/** Node gives programs their arguments as UTF-8. */
function textOf(argument: string): string {
  if (!/[\udc80-\udcff]/.test(argument) || Buffer.from(argument).toString() === argument) return argument;
  const message = `Cannot pass on "${display(hostPath(argument))}": it is not UTF-8`;
  throw new UnsupportedError("ERR_ARGUMENT_BYTES", message);
}
