/** From an image's config and what the user asks to the container as data (OCI image-spec, conversion.md). */

import { UsageError } from "../../src/errors.ts";
import { capabilitiesFor } from "../../src/exec/capabilities.ts";
import { parseLimits } from "../../src/exec/cgroup/limits.ts";
import { placeOf } from "../../src/exec/cgroup/place.ts";
import type { Resources } from "../../src/exec/cgroup/resources.ts";
import { chooseDriver } from "../../src/exec/cgroup/systemd.ts";
import { DEFAULT_PATH } from "../../src/exec/command.ts";
import { defaultMounts, MASKED_PATHS, READONLY_PATHS } from "../../src/exec/default-mounts.ts";
import { type GivenDevice, hostDevices, parseDevice } from "../../src/exec/devices.ts";
import { isShellInit } from "../../src/exec/init-program.ts";
import { findUser, type KnownUser } from "../../src/exec/names.ts";
import {
  type LinuxSpec,
  type Mount,
  OCI_VERSION,
  type ProcessSpec,
  type RuntimeSpec,
} from "../../src/exec/runtime-spec.ts";
import { defaultProfile, parseProfile } from "../../src/exec/seccomp/profile.ts";
import { hostIdOf, type IdMappings, ownMappings } from "../../src/mount/id-mapping.ts";
import { bytesOf, type HostPath, joinHost } from "../../src/paths.ts";
import { AT_FDCWD, close, O_DIRECTORY, O_PATH, openAt } from "../../src/sys/file.ts";
import type { ProcessConfig } from "../oci/image-config.ts";
import { checkNamespaces } from "./namespace-options.ts";
import type { NamespacePlan } from "./namespaces.ts";
import type { ContainerNetwork } from "./network.ts";
import { parseNetworkOptions } from "./network-options.ts";
import {
  type ContainerOptions,
  parseEnvironment,
  parseSecurityOptions,
  parseTmpfs,
  parseUlimit,
  parseVolume,
  refuseOwnPlaces,
  refuseTwice,
} from "./options.ts";

/** Where the container's program for --init is found. */
const INIT_PATH = "/dev/init";

export interface SpecRequest {
  readonly config: ProcessConfig;
  readonly options: ContainerOptions;
  /** The merged tree, where users are looked up. */
  readonly rootfs: HostPath;
  readonly network: Pick<ContainerNetwork, "hostname" | "namespace">;
  /** The name of its cgroup. */
  readonly cgroup: string;
  /** Mounts of the container's own files, such as /etc/hosts. */
  readonly ownMounts: readonly Mount[];
  /** Where volumes with names are. */
  readonly volumes: HostPath;
  readonly plan: NamespacePlan;
}

/**
 * The container that is asked for.
 * @throws {UsageError} for options that docker refuses, `ERR_NO_COMMAND`, `ERR_WORKDIR`
 * @throws as `findUser`
 */
export function containerSpec(request: SpecRequest): RuntimeSpec {
  const { config, options, rootfs, network, ownMounts, plan } = request;
  const { hostname } = network;
  const { ids, timeOffsets } = plan;
  const own = ids ?? ownMappings();
  const namespaces = [...plan.namespaces, ...(network.namespace === null ? [] : [network.namespace])];
  const volumes = placedVolumes(options, request.volumes);
  const taken = new Set(volumes.map(({ destination }) => destination));
  const replaced = new Set([...taken, ...ownMounts.map(({ destination }) => destination)]);
  const before = [
    ...defaultMounts({
      privileged: options.privileged,
      namespaces,
      ids: own,
      isAmongItsOwn: hasSharedIds(plan),
    }).filter((each) => !replaced.has(each.destination)),
    ...ownMounts.filter((each) => !taken.has(each.destination)),
  ];
  const devices = devicesOf(options);
  const init = options.init === undefined || isShellInit(options.init) ? [] : [initMount(options.init)];
  return {
    ociVersion: OCI_VERSION,
    process: processOf(
      config,
      options,
      mappedUser(lookUp(rootfs, options.user ?? config.User ?? plan.user ?? ""), own),
      hostname,
    ),
    root: { path: bytesOf(rootfs).toString(), readonly: options.readOnly },
    ...(namespaces.some(({ type, path }) => type === "uts" && path === undefined) && { hostname }),
    mounts: [...before, ...init, ...byDepth(volumes)],
    linux: {
      namespaces,
      ...(ids !== null && { uidMappings: ids.uids, gidMappings: ids.gids }),
      ...(Object.keys(timeOffsets).length > 0 && { timeOffsets }),
      devices: [...(options.privileged ? hostDevices() : []), ...devices.map(({ device }) => device)],
      ...seccompOf(options),
      maskedPaths: options.privileged ? [] : MASKED_PATHS,
      readonlyPaths: options.privileged ? [] : READONLY_PATHS,
      cgroupsPath: placeOf(request.cgroup).scope === null ? `/${request.cgroup}` : request.cgroup,
      resources: resourcesOf(options, devices),
    },
  };
}

/** Checks what needs no tree, so that nothing is made for what is refused. @throws as `containerSpec` */
export function checkOptions(config: ProcessConfig, options: ContainerOptions): void {
  volumesOf(options);
  checkNamespaces(options.namespaces ?? {}, options.hostname);
  options.ulimits.map(parseUlimit);
  seccompOf(options);
  resourcesOf(options, devicesOf(options));
  chooseDriver(options.cgroupDriver ?? "auto");
  parseEnvironment(options.env);
  parseNetworkOptions(options.network, options.networking, options.hostname);
  capabilitiesOf(options);
  commandOf(config, options);
  workdirOf(config, options);
}

function devicesOf({ devices }: ContainerOptions): readonly GivenDevice[] {
  return (devices ?? []).map(parseDevice);
}

function resourcesOf(options: ContainerOptions, devices: readonly GivenDevice[]): Resources {
  const { privileged, limits } = options;
  const all = { allow: privileged, access: "rwm" };
  return { ...parseLimits(limits), devices: privileged ? [all] : [all, ...devices.map(({ rule }) => rule)] };
}

/** As `volumesOf`, with the paths of volumes that have names, which are below `directory`. */
export function placedVolumes(options: ContainerOptions, directory: HostPath): readonly Mount[] {
  return volumesOf(options).map((each) => {
    const isNamed = each.type === "bind" && !each.source.startsWith("/");
    return isNamed ? { ...each, source: bytesOf(joinHost(directory, each.source)).toString() } : each;
  });
}

/** What the user wants mounted. @throws {UsageError} `ERR_VOLUME` */
export function volumesOf({ volumes, tmpfs, privileged }: ContainerOptions): readonly Mount[] {
  const bound = volumes.map(parseVolume);
  const all = [...bound, ...tmpfs.map(parseTmpfs)];
  refuseOwnPlaces(bound, privileged);
  refuseTwice(all);
  return all;
}

function lookUp(rootfs: HostPath, text: string): KnownUser {
  const root = openAt(AT_FDCWD, rootfs, O_PATH | O_DIRECTORY);
  try {
    return findUser(root, text);
  } finally {
    close(root);
  }
}

function processOf(config: ProcessConfig, options: ContainerOptions, user: KnownUser, hostname: string): ProcessSpec {
  const { uid, gid, additionalGids, home } = user;
  const bounding = capabilitiesOf(options);
  const held = uid === 0 ? bounding : [];
  const command = commandOf(config, options);
  const hasReaper = options.init !== undefined && isShellInit(options.init);
  return {
    terminal: options.terminal,
    user: { uid, gid, additionalGids },
    args: options.init === undefined || hasReaper ? command : [INIT_PATH, "--", ...command],
    ...(hasReaper && { hasReaper }),
    env: environmentOf(config, options, hostname, bytesOf(home).toString()),
    cwd: workdirOf(config, options),
    capabilities: { bounding, effective: held, permitted: held, inheritable: [], ambient: [] },
    noNewPrivileges: parseSecurityOptions(options.securityOptions).noNewPrivileges,
    rlimits: options.ulimits.map(parseUlimit),
  };
}

/** What "exec" asks for, beside what the container has. Texts are as they were given. */
export interface ExecOptions {
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly privileged: boolean;
  readonly terminal: boolean;
}

/**
 * A further process of a container: its environment, user, directory and limits, but for what `exec` says.
 * @throws {UsageError} `ERR_WORKDIR`, `ERR_ENVIRONMENT`
 * @throws as `findUser`; the container's root is open as `root`
 */
export function furtherProcess(
  config: ProcessConfig,
  options: ContainerOptions,
  exec: ExecOptions,
  root: number,
  hostname: string,
): ProcessSpec {
  const { command, terminal, workdir } = exec;
  const user = findUser(root, exec.user ?? options.user ?? config.User ?? "");
  const env = [...options.env, ...exec.env];
  const privileged = exec.privileged || options.privileged;
  const { init: _init, entrypoint: _entrypoint, ...rest } = options;
  const whole = {
    ...rest,
    entrypoint: "",
    command,
    env,
    terminal,
    privileged,
    ...(workdir !== undefined && { workdir }),
  };
  return processOf(config, whole, user, hostname);
}

/** @throws {UsageError} `ERR_SECCOMP_PROFILE`, `ERR_SECURITY_OPTION` */
function seccompOf(options: ContainerOptions): Pick<LinuxSpec, "seccomp"> {
  const { seccomp } = parseSecurityOptions(options.securityOptions);
  if (seccomp === "unconfined" || (seccomp === "default" && options.privileged)) return {};
  const held = capabilitiesOf(options);
  return { seccomp: seccomp === "default" ? defaultProfile(held) : parseProfile(seccomp, held) };
}

function capabilitiesOf({ capAdd, capDrop, privileged }: ContainerOptions): ReturnType<typeof capabilitiesFor> {
  return capabilitiesFor({ add: capAdd, drop: capDrop, privileged });
}

/**
 * What is run. An entrypoint of the user's makes the image's command nothing (docker run reference).
 * @throws {UsageError} `ERR_NO_COMMAND`
 */
export function commandOf(config: ProcessConfig, { entrypoint, command }: ContainerOptions): readonly string[] {
  const own = entrypoint === undefined && command.length === 0 ? (config.Cmd ?? []) : command;
  const head = entrypoint === undefined ? (config.Entrypoint ?? []) : entrypoint === "" ? [] : [entrypoint];
  const args = [...head, ...own];
  if (args.length > 0) return args;
  const state = "the image has no command of its own; give one";
  throw new UsageError("ERR_NO_COMMAND", `Cannot run the image: ${state}`);
}

function workdirOf(config: ProcessConfig, { workdir }: ContainerOptions): string {
  const path = workdir ?? config.WorkingDir ?? "";
  if (path === "" && workdir === undefined) return "/";
  if (path.startsWith("/")) return path;
  throw new UsageError("ERR_WORKDIR", `Cannot work in "${path}": it is not an absolute path`, { data: { path } });
}

function environmentOf(
  config: ProcessConfig,
  options: ContainerOptions,
  hostname: string,
  home: string,
): readonly string[] {
  const defaults = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${hostname}`, ...(options.terminal ? ["TERM=xterm"] : [])];
  const imageOwn = (config.Env ?? []).filter((variable) => variable.indexOf("=") > 0);
  const variables = new Map([...parseEnvironment([...defaults, ...imageOwn]), ...parseEnvironment(options.env)]);
  if ((variables.get("HOME") ?? "") === "") variables.set("HOME", home);
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/** True if a container whose namespaces are joined has the same user namespace. */
function hasSharedIds({ ids, namespaces }: NamespacePlan): boolean {
  return ids === null || namespaces.some(({ type, path }) => type === "user" && path !== undefined);
}

/** @throws {UsageError} `ERR_ID_NOT_MAPPED` for who has no id in the user namespace */
function mappedUser(user: KnownUser, ids: IdMappings | null): KnownUser {
  if (ids === null) return user;
  const gids = [user.gid, ...user.additionalGids].map((id) => ({ what: "gid", ranges: ids.gids, id }));
  for (const { what, ranges, id } of [{ what: "uid", ranges: ids.uids, id: user.uid }, ...gids]) {
    if (hostIdOf(ranges, id) !== null) continue;
    const message = `Cannot run as ${what} ${id}: the user namespace has no such id; give it more, or another user`;
    throw new UsageError("ERR_ID_NOT_MAPPED", message, { data: { [what]: id } });
  }
  return user;
}

function initMount(source: string): Mount {
  return { destination: INIT_PATH, type: "bind", source, options: ["rbind", "rprivate", "ro"] };
}

/** Those above first: a volume lies in another, not over it. */
function byDepth(mounts: readonly Mount[]): readonly Mount[] {
  const depth = ({ destination }: Mount): number => destination.split("/").length;
  return mounts.toSorted((a, b) => depth(a) - depth(b));
}
