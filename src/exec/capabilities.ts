/** Capabilities by name (capabilities(7)), and the set that docker gives a container. */

import { readFileSync } from "node:fs";
import { UsageError } from "../errors.ts";

/** In the order of their numbers (linux/capability.h). */
const NAMES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
] as const;

export type CapabilityName = (typeof NAMES)[number];

/** Docker's default set (moby, oci/caps/defaults.go). */
const DEFAULT: readonly CapabilityName[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

export interface CapabilityWishes {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly privileged: boolean;
}

/**
 * The capabilities of a container, those that this process has itself: docker's default set with `add` and without `drop`,
 * or with `privileged` all of them. Names are in any case, with or without "CAP_"; "ALL" stands for every one.
 * @throws {UsageError} `ERR_CAPABILITY` for what is no capability's name
 */
export function capabilitiesFor({ add, drop, privileged }: CapabilityWishes): readonly CapabilityName[] {
  const own = ownCapabilities();
  const [added, dropped] = [add.map(parseCapability), drop.map(parseCapability)];
  if (privileged) return NAMES.filter((name) => own.has(name));
  const base = added.includes("ALL") ? NAMES : dropped.includes("ALL") ? [] : DEFAULT;
  const wanted = new Set<CapabilityName | "ALL">([...base, ...added]);
  for (const name of dropped) wanted.delete(name);
  return NAMES.filter((name) => wanted.has(name) && own.has(name));
}

function parseCapability(text: string): CapabilityName | "ALL" {
  const upper = text.toUpperCase();
  if (upper === "ALL") return upper;
  const name = NAMES.find((each) => each === upper || each === `CAP_${upper}`);
  if (name !== undefined) return name;
  throw new UsageError("ERR_CAPABILITY", `Cannot use capability "${text}": there is none of this name`);
}

/** As setpriv(1) takes them: in lower case, without the prefix. */
export function setprivName(name: CapabilityName): string {
  return name.slice("CAP_".length).toLowerCase();
}

/** The kernel's number of a capability. */
export function capabilityNumber(name: CapabilityName): number {
  return NAMES.indexOf(name);
}

/** The bounding set of this process: no child can have more. */
function ownCapabilities(): ReadonlySet<CapabilityName> {
  const hex = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0";
  const bits = BigInt(`0x${hex}`);
  return new Set(NAMES.filter((_, bit) => (bits >> BigInt(bit)) & 1n));
}
