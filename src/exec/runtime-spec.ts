/**
 * A container as data: the part of the OCI runtime spec's config.json (runtime-spec 1.0) that layerctl writes. Our own
 * launcher starts what it describes, and `--runtime` hands the same document to another.
 */

import type { IdMapping, IdMappings } from "../mount/id-mapping.ts";
import type { CapabilityName } from "./capabilities.ts";
import type { Resources } from "./cgroup/resources.ts";
import type { Seccomp } from "./seccomp/profile.ts";

export const OCI_VERSION = "1.0.2";

export type Clock = "monotonic" | "boottime";

export type NamespaceType = "pid" | "network" | "mount" | "ipc" | "uts" | "user" | "cgroup" | "time";

/** What is mounted, in order. `destination` is a path in the container. */
export interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  /** As mount(8) spells them; "rbind" and "bind" make it a bind mount. */
  readonly options: readonly string[];
}

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

export interface Rlimit {
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

/** The five sets of capabilities(7), as names. */
export interface CapabilitySets {
  readonly bounding: readonly CapabilityName[];
  readonly effective: readonly CapabilityName[];
  readonly permitted: readonly CapabilityName[];
  readonly inheritable: readonly CapabilityName[];
  readonly ambient: readonly CapabilityName[];
}

export interface ProcessSpec {
  readonly terminal: boolean;
  readonly user: ContainerUser;
  /** The command and its arguments; the command is looked for in the PATH of `env`. Never empty. */
  readonly args: readonly string[];
  /** "NAME=value"; no name twice. */
  readonly env: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly capabilities: CapabilitySets;
  readonly noNewPrivileges: boolean;
  /** The launcher's shell stays as process 1. Our own: another runtime starts no shell. */
  readonly hasReaper?: boolean;
  readonly rlimits: readonly Rlimit[];
}

/** A type that a container does not list is this host's. */
export interface Namespace {
  readonly type: NamespaceType;
  /** Of one that is there and is joined (/proc/PID/ns/TYPE); else it is a new one. */
  readonly path?: string;
}

/** A device node that is made; `fileMode` has the permissions only. */
export interface Device {
  readonly path: string;
  /** The device of the host, where it has another path there. Our own: runtimes read over what they do not know. */
  readonly source?: string;
  readonly type: "c" | "b";
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What a clock shows more than this host's (time_namespaces(7)). */
export interface TimeOffset {
  readonly secs: number;
  readonly nanosecs: number;
}

export interface LinuxSpec {
  readonly namespaces: readonly Namespace[];
  /** Of the user namespace, new or joined; without one there are none. */
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
  readonly timeOffsets?: Readonly<Partial<Record<Clock, TimeOffset>>>;
  readonly devices: readonly Device[];
  /** Which system calls may be made; without it all. */
  readonly seccomp?: Seccomp;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  /** "/NAME": of the group, in every tree; or "SLICE:PREFIX:NAME" of a scope. */
  readonly cgroupsPath: string;
  readonly resources: Resources;
}

/** A program of the host that the runtime runs. */
export interface Hook {
  /** Absolute. */
  readonly path: string;
  /** The first is the program's own name. */
  readonly args: readonly string[];
  readonly env: readonly string[];
}

export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process: ProcessSpec;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname?: string;
  readonly mounts: readonly Mount[];
  readonly linux: LinuxSpec;
  /** For other runtimes: our own launcher has no use for them. */
  readonly hooks?: { readonly poststop: readonly Hook[] };
}

/** How the container's user namespace maps ids; null if that is this host's. */
export function idMappingsOf({ linux }: RuntimeSpec): IdMappings | null {
  const { uidMappings: uids, gidMappings: gids } = linux;
  return uids === undefined || gids === undefined ? null : { uids, gids };
}
