/** What a user asks of a container, as docker spells it: parsed and refused as there, before anything is made. */

import { UsageError } from "../../src/errors.ts";
import type { LimitTexts } from "../../src/exec/cgroup/limits.ts";
import type { Mount, Rlimit } from "../../src/exec/runtime-spec.ts";
import { isLimitName } from "../../src/sys/limits.ts";
import type { NamespaceTexts } from "./namespace-options.ts";
import type { NetworkTexts } from "./network-options.ts";

/** Texts are as they were given. */
export interface ContainerOptions {
  /** Empty: the image's own. */
  readonly command: readonly string[];
  /** Instead of the image's; "" for none. */
  readonly entrypoint?: string;
  readonly env: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly hostname?: string;
  readonly volumes: readonly string[];
  readonly tmpfs: readonly string[];
  readonly readOnly: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly privileged: boolean;
  readonly securityOptions: readonly string[];
  readonly ulimits: readonly string[];
  readonly limits: LimitTexts;
  /** Devices of this host; containers of older builds have none. */
  readonly devices?: readonly string[];
  /** Who makes its cgroup: "auto", "cgroupfs" or "systemd". */
  readonly cgroupDriver?: string;
  /** none, host, bridge, container:NAME or ns:/PATH. */
  readonly network: string;
  /** Containers of older builds have none. */
  readonly networking?: NetworkTexts;
  /** Default: as docker has them. */
  readonly namespaces?: NamespaceTexts;
  readonly terminal: boolean;
  /** Detached, the command's standard input stays open. */
  readonly interactive: boolean;
  /** The program that is to be process 1, on this host; the command becomes its child. */
  readonly init?: string;
  /** The path of an OCI runtime; default: our own launcher. */
  readonly runtime?: string;
}

/** What is the container's own: a volume there would be without devices, or show those of the host. */
const OWN_PLACES = new Set(["/dev", "/proc", "/sys"]);

/** @throws {UsageError} `ERR_VOLUME` for a volume at /dev, /proc or /sys without `privileged` */
export function refuseOwnPlaces(volumes: readonly Mount[], privileged: boolean): void {
  const wrong = volumes.find(({ destination }) => OWN_PLACES.has(destination));
  if (privileged || wrong === undefined) return;
  throw badVolume(wrong.destination, "it is the container's own; --privileged lets it be the host's");
}

const VOLUME_MODES = new Set(["ro", "rw"]);

/** True for what a volume of the store can be called: docker's rule. */
export function isVolumeName(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}$/.test(text);
}

/**
 * SRC:DST[:ro] as a bind mount; the source of a volume of the store is its name.
 * @throws {UsageError} `ERR_VOLUME`
 */
export function parseVolume(text: string): Mount {
  const [source = "", destination, mode = "rw", ...rest] = text.split(":");
  if (destination === undefined || rest.length > 0) throw badVolume(text, "it is not SRC:DST or SRC:DST:ro");
  if (!source.startsWith("/") && !isVolumeName(source)) {
    throw badVolume(text, `"${source}" is neither an absolute path nor a volume's name`);
  }
  if (!VOLUME_MODES.has(mode)) throw badVolume(text, `"${mode}" is neither ro nor rw`);
  return { destination: absolute(text, destination), type: "bind", source, options: ["rbind", "rprivate", mode] };
}

/**
 * DST[:OPTIONS] as a tmpfs.
 * @throws {UsageError} `ERR_VOLUME`
 */
export function parseTmpfs(text: string): Mount {
  const colon = text.indexOf(":");
  const destination = absolute(text, colon < 0 ? text : text.slice(0, colon));
  const given = colon < 0 ? [] : text.slice(colon + 1).split(",");
  const wrong = given.find(
    (option) => !/^(?:ro|rw|noexec|nosuid|nodev|exec|suid|(?:size|mode|uid|gid|nr_inodes)=\w+%?)$/.test(option),
  );
  if (wrong !== undefined) throw badVolume(text, `tmpfs has no option "${wrong}"`);
  const [isExec, isSuid] = [given.includes("exec"), given.includes("suid")];
  const defaults = ["nodev", ...(isSuid ? [] : ["nosuid"]), ...(isExec ? [] : ["noexec"])];
  const options = [...new Set([...defaults, ...given.filter((option) => option !== "exec" && option !== "suid")])];
  return { destination, type: "tmpfs", source: "tmpfs", options };
}

/** @throws {UsageError} `ERR_VOLUME` for a place that two mounts want */
export function refuseTwice(mounts: readonly Mount[]): void {
  const seen = new Set<string>();
  for (const { destination } of mounts) {
    if (seen.has(destination)) throw badVolume(destination, "two volumes have this place");
    seen.add(destination);
  }
}

function absolute(text: string, destination: string): string {
  if (!destination.startsWith("/")) throw badVolume(text, `"${destination}" is not an absolute path`);
  const parts = destination.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw badVolume(text, 'its place has a ".."');
  if (parts.length === 0) throw badVolume(text, 'a volume cannot be "/"');
  return `/${parts.join("/")}`;
}

function badVolume(text: string, state: string): UsageError {
  return new UsageError("ERR_VOLUME", `Cannot use volume "${text}": ${state}`, { data: { volume: text } });
}

const UNLIMITED = -1;

/**
 * NAME=SOFT[:HARD]; -1 or "unlimited" is no limit.
 * @throws {UsageError} `ERR_ULIMIT`
 */
export function parseUlimit(text: string): Rlimit {
  const [, name = "", softText = "", hardText = softText] = /^([a-z]+)=([^:]+)(?::([^:]+))?$/.exec(text) ?? [];
  const [soft, hard] = [limitOf(softText), limitOf(hardText)];
  const isOver = hard !== UNLIMITED && soft !== null && hard !== null && (soft > hard || soft === UNLIMITED);
  if (isLimitName(name) && soft !== null && hard !== null && !isOver) {
    return { type: `RLIMIT_${name.toUpperCase()}`, soft, hard };
  }
  const state = isOver ? "the soft limit is over the hard one" : "it is not NAME=SOFT or NAME=SOFT:HARD";
  throw new UsageError("ERR_ULIMIT", `Cannot use limit "${text}": ${state}`, { data: { limit: text } });
}

function limitOf(text: string): number | null {
  if (text === "-1" || text === "unlimited") return UNLIMITED;
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

/**
 * Variables of the environment in order, the last of a name counting: "NAME=value", or "NAME" for what this process has.
 * @throws {UsageError} `ERR_ENVIRONMENT`
 */
export function parseEnvironment(texts: readonly string[]): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const text of texts) {
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    if (name === "") throw new UsageError("ERR_ENVIRONMENT", `Cannot use variable "${text}": it has no name`);
    const value = equals < 0 ? process.env[name] : text.slice(equals + 1);
    if (value !== undefined) variables.set(name, value);
  }
  return variables;
}

export interface SecurityOptions {
  /** setuid programs give nothing. */
  readonly noNewPrivileges: boolean;
  /** "default", "unconfined", or a profile's text, JSON. */
  readonly seccomp: string;
}

/**
 * "no-new-privileges[:false]" and "seccomp=unconfined|builtin|TEXT", the last of each counting; "=" may be ":".
 * @throws {UsageError} `ERR_SECURITY_OPTION` for any other option
 */
export function parseSecurityOptions(texts: readonly string[]): SecurityOptions {
  let options: SecurityOptions = { noNewPrivileges: false, seccomp: "default" };
  for (const text of texts) {
    const [, name, value] = /^(no-new-privileges|seccomp)(?:[:=]([\s\S]+))?$/.exec(text) ?? [];
    if (name === "no-new-privileges" && /^(?:true|false)?$/.test(value ?? "")) {
      options = { ...options, noNewPrivileges: value !== "false" };
    } else if (name === "seccomp" && value !== undefined) {
      options = { ...options, seccomp: value === "builtin" ? "default" : value };
    } else {
      const state = "only no-new-privileges and seccomp=unconfined, builtin or FILE are known";
      throw new UsageError("ERR_SECURITY_OPTION", `Cannot use security option "${text}": ${state}`);
    }
  }
  return options;
}
